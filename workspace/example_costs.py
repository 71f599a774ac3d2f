"""What examples cost: the tokens each adds to a prompt on one model, remembered by content.

Where the model's tokenizer is on another server, four characters count as a token; `exact` says which it is.
It knows examples and models, not pages.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from uuid import UUID

from jobs.models import LanguageModel
from workspace import fewshot
from workspace.models import Example, ExampleSetVersion
from workspace.remembered import remembered

log = logging.getLogger(__name__)


class Costs:
    """Of examples as plain questions and answers, on `model`."""

    def __init__(self, model: LanguageModel | None) -> None:
        self.model = model
        self.exact = model is not None and counts(model)
        self.measure = fewshot.meter(model.prompt_tokens if model and self.exact else None)
        # Equal templates and tokenizers give equal counts.
        self.name = f"{model.pk}:{model.template_hash[:16]}" if model and self.exact else "characters"

    def of(self, examples: Sequence[Example]) -> dict[UUID, int]:
        if not self.exact:
            return {example.pk: self.measure(example.turns) for example in examples}
        by_id = {example.pk: example for example in examples}
        names = {pk: f"example:{self.name}:{digest(example)}" for pk, example in by_id.items()}
        return remembered(names, lambda pk: self.measure(by_id[pk].turns))

    def total(self, version: ExampleSetVersion) -> int:
        """Of a whole version, which never changes either."""
        found = remembered(
            {version.pk: f"examples:{self.name}:{version.pk}"}, lambda _: sum(self.of(version.ordered()).values())
        )
        return int(found[version.pk])


def digest(example: Example) -> str:
    texts = f"{len(example.input)}:{example.input}{example.output}"
    return hashlib.sha256(texts.encode()).hexdigest()[:40]


def counts(model: LanguageModel) -> bool:
    """Whether the model's tokenizer is here and can be read."""
    try:
        return model.prompt_tokens([{"role": "user", "content": "."}]) is not None
    except (OSError, ValueError, KeyError) as error:
        log.warning("The tokenizer of %s cannot be read, so examples are estimated: %s", model, error)
        return False
