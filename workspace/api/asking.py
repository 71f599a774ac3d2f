"""Asking a model for a program: by a version of a prompt, by messages, or both. The rules of /v1/responses and of
`run` are here; their shapes are not."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction

from jobs.models import Adapter, ConfigError, Generation, LanguageModel
from jobs.openai import replies
from jobs.openai.chat import DEFAULT_MAX_TOKENS, MAX_CHARACTERS, refuse_if_full
from jobs.openai.models import find_model
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused
from workspace.models import PromptVersion, Team
from workspace.prompts import Message, PromptError


@dataclass(frozen=True)
class Question:
    """What is asked: `before`, the prompt filled in, `after`. `params` go over those of the prompt."""

    version: PromptVersion | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    placeholders: Mapping[str, Sequence[Message]] = field(default_factory=dict)
    before: Sequence[Message] = ()
    after: Sequence[Message] = ()
    model: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    generation: Generation
    model: str  # by the name that /v1/models has for it
    params: dict[str, Any]


def ask(request: StudioRequest, question: Question, *, variables: str, names: Mapping[str, str]) -> Asked:
    """Queue the reply. `variables` is what the caller calls the prompt's variables, and `names` what it calls
    sampling parameters, for what is refused."""
    key, model, adapter = model_for(request.team, question)
    messages, params = [*question.before, *question.after], {"max_tokens": DEFAULT_MAX_TOKENS}
    version = question.version
    if version is not None:
        with refusing(variables):
            rendered = version.render(
                question.values, placeholders=question.placeholders, count=model.prompt_tokens
            ).messages
        messages, params = [*question.before, *rendered, *question.after], params | version.params()
    params |= question.params
    if sum(len(message["content"]) for message in messages) > MAX_CHARACTERS:
        raise Refused(400, f"All messages together may have at most {MAX_CHARACTERS:,} characters.", param="input")
    refuse_if_full(request.team)
    try:
        with transaction.atomic():
            generation = Generation.ask(
                team=request.team, author=request.user, purpose=Generation.Purpose.API, model=model, adapter=adapter,
                messages=messages, params=params, prompt_version=version,
            )  # fmt: skip
    except ConfigError as error:
        raise Refused(400, str(error), param=names.get(error.field, error.field), code="invalid_value") from None
    except TypeError:  # a parameter of the prompt's config that is not even a number
        raise Refused(
            400, "The prompt's config holds a sampling parameter of the wrong kind.", param="prompt"
        ) from None
    return Asked(generation, key, params)


async def unless_gone(asking: Coroutine[Any, Any, Asked]) -> Asked:
    """What was asked; should the client leave in that very moment, it is cancelled again."""
    return await replies.unless_gone(asking, lambda asked: [asked.generation])


def model_for(team: Team, question: Question) -> tuple[str, LanguageModel, Adapter | None]:
    """The model that was asked for, else the prompt's, else the studio's."""
    if question.model:
        return question.model, *find_model(team, question.model)
    wanted = question.version.config.get("model") if question.version else None
    if not isinstance(wanted, str) or not wanted:
        return settings.STUDIO_DEFAULT_MODEL, *find_model(team, settings.STUDIO_DEFAULT_MODEL)
    try:
        return wanted, *find_model(team, wanted)
    except Refused:
        raise Refused(
            404,
            f"The prompt asks for the model {wanted[:200]!r}, which your team does not have. Say which `model` to use.",
            param="model",
            code="model_not_found",
        ) from None


@contextmanager
def refusing(param: str) -> Iterator[None]:
    """What is wrong with a prompt or its variables, as an error that names them."""
    try:
        yield
    except PromptError as error:
        code = f"{error.code}_variables" if error.code in ("missing", "unknown") else error.code
        about_one = param.endswith("variables") and error.code == "bad_value" and len(error.names) == 1
        one = f"{param}.{error.names[0]}" if about_one else param
        raise Refused(400, str(error), param=one, code=code) from None
