"""What examples cost: the tokens each adds to a prompt on one model, remembered by content.

Where the model's tokenizer is on another server, four characters count as a token; `exact` says which it is.
It knows examples and models, not pages.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Sequence
from uuid import UUID

from django.core.cache import cache
from redis.exceptions import RedisError

from jobs.models import LanguageModel
from workspace import fewshot
from workspace.models import Example, ExampleSetVersion

log = logging.getLogger(__name__)

KEPT = 30 * 86_400  # seconds; an example never changes, so this only bounds the cache


class Costs:
    """Of examples as plain questions and answers, on `model`."""

    def __init__(self, model: LanguageModel | None) -> None:
        self.model = model
        self.exact = False
        self.count = None
        if model is not None and _counts(model):
            self.exact, self.count = True, model.prompt_tokens
            # Equal templates and tokenizers give equal counts.
            self.name = f"{model.pk}:{model.template_hash[:16]}"
        self.measure = fewshot.meter(self.count)

    def of(self, examples: Sequence[Example]) -> dict[UUID, int]:
        if not self.exact:
            return {example.pk: self.measure(example.turns) for example in examples}
        keys = {example.pk: self._key(example) for example in examples}
        known: dict[str, int] = {}
        with contextlib.suppress(RedisError, OSError):
            known = cache.get_many(keys.values())
        found = {example.pk: known.get(keys[example.pk], None) or self.measure(example.turns) for example in examples}
        if fresh := {keys[pk]: tokens for pk, tokens in found.items() if keys[pk] not in known}:
            with contextlib.suppress(RedisError, OSError):
                cache.set_many(fresh, KEPT)
        return found

    def total(self, version: ExampleSetVersion) -> int:
        """Of a whole version, which never changes either."""
        key = f"examples:{self.name}:{version.pk}" if self.exact else ""
        if key:
            with contextlib.suppress(RedisError, OSError):
                if (known := cache.get(key)) is not None:
                    return int(known)
        total = sum(self.of(version.ordered()).values())
        if key:
            with contextlib.suppress(RedisError, OSError):
                cache.set(key, total, KEPT)
        return total

    def _key(self, example: Example) -> str:
        digest = hashlib.sha256(f"{len(example.input)}:{example.input}{example.output}".encode()).hexdigest()
        return f"example:{self.name}:{digest[:40]}"


def _counts(model: LanguageModel) -> bool:
    """Whether the model's tokenizer is here and can be read."""
    try:
        return model.prompt_tokens([{"role": "user", "content": "."}]) is not None
    except (OSError, ValueError, KeyError) as error:
        log.warning("The tokenizer of %s cannot be read, so examples are estimated: %s", model, error)
        return False
