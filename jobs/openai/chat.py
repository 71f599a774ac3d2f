"""POST /v1/chat/completions: what may be asked, and asking it. How the answer travels is in replies.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from channels.db import database_sync_to_async
from django.db import transaction
from django.http import JsonResponse
from ninja import Router, Schema
from pydantic import BeforeValidator, Field

from jobs.ml.config import ConfigError, SamplingParams
from jobs.models import Generation, Worker
from jobs.openai import replies
from jobs.openai.formats import schema_asked
from jobs.openai.models import find_model
from jobs.openai.shapes import Text
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused

router = Router()

MAX_CHOICES = 4
MAX_MESSAGES = 1000
MAX_CHARACTERS = 1_000_000
MAX_WAITING = 64  # replies of one team that are not finished
DEFAULT_MAX_TOKENS = 2048  # OpenAI's is "the rest of the context"; a small model may never stop by itself

GIVEN_AS_THEY_ARE = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "stop",
    "top_k", "repetition_penalty",  # not OpenAI's, but vLLM's users know them
)  # fmt: skip
UNSUPPORTED = ("tools", "functions", "logprobs", "top_logprobs", "logit_bias", "audio")


def _plain(content: Any) -> Any:
    """OpenAI's list of parts as one text. Only text can be read here."""
    if content is None:
        return ""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise ValueError("Only parts of type text can be read by these models.")
        texts.append(part["text"])
    return "".join(texts)


class ChatMessage(Schema):
    role: Annotated[
        Literal["system", "user", "assistant"], BeforeValidator(lambda role: "system" if role == "developer" else role)
    ]
    content: Annotated[Text, BeforeValidator(_plain)] = ""


class StreamOptions(Schema):
    include_usage: bool | None = None


class ChatRequest(Schema):
    """Fields that change the answer; the many others that OpenAI's clients send are ignored."""

    model: Text
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: Annotated[list[Text] | None, BeforeValidator(lambda stop: [stop] if isinstance(stop, str) else stop)] = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None

    tools: Any = None
    functions: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    logit_bias: Any = None
    audio: Any = None
    modalities: list[str] | None = None
    response_format: dict[str, Any] | None = None


@router.post("/chat/completions", url_name="chat_completions")
async def create_chat_completion(request: StudioRequest, body: ChatRequest) -> Any:
    _refuse_unsupported(body)
    # The wait for the answer needs no database connection: this gives it back to the pool.
    generations = await replies.unless_gone(database_sync_to_async(_ask)(request, body), list)
    if not body.stream:
        return JsonResponse(await replies.whole(generations, body.model))
    usage = bool(body.stream_options and body.stream_options.include_usage)
    return await replies.streamed(replies.stream(generations, body.model, usage=usage))


def _refuse_unsupported(body: ChatRequest) -> None:
    for name in UNSUPPORTED:
        if getattr(body, name):
            raise Refused(400, f"{name} is not supported by this server.", param=name, code="unsupported_parameter")
    if body.modalities not in (None, ["text"]):
        raise Refused(400, "These models answer in text only.", param="modalities", code="unsupported_value")
    if sum(len(message.content) for message in body.messages) > MAX_CHARACTERS:
        raise Refused(
            400,
            f"All messages together may have at most {MAX_CHARACTERS:,} characters.",
            param="messages",
            code="string_above_max_length",
        )


def _sampling(body: ChatRequest) -> dict[str, Any]:
    """The sampling parameters that were given, checked; what was left out keeps the studio's default."""
    alias = "max_completion_tokens" if body.max_completion_tokens is not None else "max_tokens"
    limit = getattr(body, alias)
    given = {
        "max_tokens": DEFAULT_MAX_TOKENS if limit is None else limit,
        "seed": None if body.seed is None else body.seed % 2**32,
        "json_schema": schema_asked(body.response_format),
        **{name: getattr(body, name) for name in GIVEN_AS_THEY_ARE},
    }
    params = {name: value for name, value in given.items() if value is not None and value != []}
    try:
        SamplingParams.from_dict(params)
    except ConfigError as error:
        raise Refused(
            400, str(error), param=alias if error.field == "max_tokens" else error.field, code="invalid_value"
        ) from None
    return params


def refuse_if_full(team: Any, choices: int = 1) -> None:
    """Raises Refused where a reply would find no worker, or too many before it."""
    if "infer" not in Worker.objects.kinds_alive():
        raise Refused(
            503, "No chat worker is running, so nothing can answer. Start one, or try again in a moment.", retry_after=2
        )
    if Generation.objects.unfinished().filter(team=team).count() + choices > MAX_WAITING:
        raise Refused(
            429, f"Your team already waits for {MAX_WAITING} replies. Try again when some are finished.", retry_after=2
        )


def _ask(request: StudioRequest, body: ChatRequest) -> list[Generation]:
    """Queue one generation a choice."""
    model, adapter = find_model(request.team, body.model)
    params = _sampling(body)
    choices = body.n or 1
    refuse_if_full(request.team, choices)
    with transaction.atomic():
        return [
            Generation.ask(
                team=request.team,
                author=request.user,
                purpose=Generation.Purpose.API,
                model=model,
                adapter=adapter,
                messages=[message.model_dump() for message in body.messages],
                params=params if "seed" not in params else {**params, "seed": (params["seed"] + choice) % 2**32},
            )
            for choice in range(choices)
        ]
