"""POST /v1/responses: OpenAI's newer call, with a prompt of the studio as its stored prompt.

`prompt.id` is a prompt's name, its id here, or the `pmpt_...` that it came with. What is not understood is refused by
its name: an answer that quietly left out half of the question would be worse. Events are in responses_stream.py.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal
from uuid import UUID

from channels.db import database_sync_to_async
from django.http import JsonResponse
from ninja import Router, Schema
from pydantic import Field

from jobs.openai import replies
from jobs.openai.formats import schema_asked
from jobs.openai.shapes import Text
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused
from workspace.api import responses_stream
from workspace.api.asking import Asked, Question, ask, unless_gone
from workspace.api.lookup import BIGGEST, find_called
from workspace.api.shapes import Strict
from workspace.models import Prompt, PromptVersion, Team
from workspace.prompts import HISTORY, Message, placeholders_in

router = Router()

MAX_ITEMS = 1000
PARAMS = {"max_tokens": "max_output_tokens", "json_schema": "text.format.schema"}  # ours -> OpenAI's


class Stored(Strict):
    id: Annotated[Text, Field(min_length=1, max_length=300)]
    version: Annotated[Text, Field(max_length=36)] | None = None
    variables: Annotated[dict[Text, Any], Field(max_length=200)] | None = None


class Part(Schema):
    type: Text
    text: Text | None = None


class Item(Schema):
    """A message. Ids and states, which come along when an answer is sent back, are not needed."""

    type: Text = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: Text | list[Part] = ""


class Format(Strict):
    type: Literal["text", "json_schema", "json_object"]
    name: Text | None = None
    description: Text | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextOptions(Strict):
    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class StreamOptions(Strict):
    include_obfuscation: bool | None = None


class ResponseRequest(Strict):
    model: Text | None = None
    input: Text | Annotated[list[Item], Field(max_length=MAX_ITEMS)] | None = None
    instructions: Text | None = None
    prompt: Stored | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    seed: int | None = None  # not OpenAI's here, but it is in chat completions
    text: TextOptions | None = None
    metadata: Annotated[dict[Text, Annotated[Text, Field(max_length=512)]], Field(max_length=16)] | None = None

    # taken, and without effect here
    store: bool | None = None
    user: Text | None = None
    safety_identifier: Text | None = None
    prompt_cache_key: Text | None = None
    parallel_tool_calls: bool | None = None
    service_tier: Literal["auto", "default"] | None = None
    truncation: Literal["disabled"] | None = None
    tool_choice: Literal["auto", "none"] | None = None

    # refused where they ask for something
    tools: Any = None
    include: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    background: Any = None
    reasoning: Any = None
    top_logprobs: Any = None
    max_tool_calls: Any = None


UNSUPPORTED = (
    "tools", "include", "previous_response_id", "conversation", "background", "reasoning", "top_logprobs",
    "max_tool_calls",
)  # fmt: skip


@router.post("/responses", url_name="responses")
async def create_response(request: StudioRequest, body: ResponseRequest) -> Any:
    for name in UNSUPPORTED:
        if getattr(body, name):
            raise Refused(400, f"{name} is not supported by this server.", param=name, code="unsupported_parameter")
    asked = await unless_gone(database_sync_to_async(_ask)(request, body))
    frame = _frame(body, asked)
    if not body.stream:
        return JsonResponse(await responses_stream.whole(asked.generation, frame))
    return await replies.streamed(responses_stream.stream(asked.generation, frame))


def _ask(request: StudioRequest, body: ResponseRequest) -> Asked:
    version = find_stored(request.team, body.prompt) if body.prompt else None
    told = _messages(body.input)
    if version is None and not told:
        raise Refused(400, "Say what to answer: input, or a prompt.", param="input", code="missing_required_parameter")
    inside = version is not None and HISTORY in placeholders_in(version.messages)
    question = Question(
        version=version,
        values={name: _value(name, value) for name, value in ((body.prompt and body.prompt.variables) or {}).items()},
        placeholders={HISTORY: told} if inside else {},
        before=[{"role": "system", "content": body.instructions}] if body.instructions else [],
        after=() if inside else told,
        model=body.model or "",
        params=_params(body),
    )
    return ask(request, question, variables="prompt.variables", names=PARAMS)


def find_stored(team: Team, stored: Stored) -> PromptVersion:
    """The version that `prompt` names. Its `version` is a number, or a label of ours; without one it is production."""
    prompt = _prompt(team, stored.id)
    if prompt is None:
        raise Refused(
            404, f"Prompt with id '{stored.id}' not found.", param="prompt.id", code="prompt_not_found"
        )  # fmt: skip
    number = int(stored.version) if stored.version and stored.version.isdecimal() else None
    try:
        if number is not None and not 0 < number <= BIGGEST:
            raise PromptVersion.DoesNotExist
        return prompt.find(version=number, label=None if number else stored.version or None)
    except PromptVersion.DoesNotExist:
        which = f"version {number}" if number else f"version labelled {stored.version or 'production'}"
        raise Refused(
            404, f"The prompt {prompt.name} has no {which}.", param="prompt.version", code="prompt_not_found"
        ) from None


def _prompt(team: Team, name: str) -> Prompt | None:
    found = find_called(team, name)
    if found is None:
        with suppress(ValueError):
            found = Prompt.objects.for_team(team).filter(pk=UUID(name)).first()
    return found


def _value(name: str, value: Any) -> Any:
    """Variables are texts, or OpenAI's parts. Ours may also be numbers, lists and more."""
    if isinstance(value, dict) and str(value.get("type", "")).startswith("input_"):
        if value["type"] != "input_text" or not isinstance(value.get("text"), str):
            raise Refused(
                400, f"{name}: these models read text only.", param=f"prompt.variables.{name}", code="unsupported_value"
            )  # fmt: skip
        return value["text"]
    return value


def _messages(given: str | list[Item] | None) -> list[Message]:
    if given is None or isinstance(given, str):
        return [{"role": "user", "content": given}] if given else []
    messages = []
    for index, item in enumerate(given):
        if item.type != "message" or item.role is None:
            raise Refused(
                400, f"Only messages can be read here, not {item.type}.", param=f"input[{index}]", code="unsupported_value"
            )  # fmt: skip
        role = "system" if item.role == "developer" else item.role
        messages.append({"role": role, "content": _text(item.content, index)})
    return messages


def _text(content: str | list[Part], index: int) -> str:
    if isinstance(content, str):
        return content
    for part in content:
        if part.type not in ("input_text", "output_text", "text") or part.text is None:
            raise Refused(
                400, f"These models read text only, not {part.type}.", param=f"input[{index}].content",
                code="unsupported_value",
            )  # fmt: skip
    return "".join(part.text or "" for part in content)


def _params(body: ResponseRequest) -> dict[str, Any]:
    given: dict[str, Any] = {
        "max_tokens": body.max_output_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "seed": None if body.seed is None else body.seed % 2**32,
    }
    if body.text and body.text.format:
        wanted = body.text.format.model_dump(by_alias=True, exclude_none=True)
        given["json_schema"] = schema_asked(wanted, param="text.format", inside="")
    return {name: value for name, value in given.items() if value is not None}


def _frame(body: ResponseRequest, asked: Asked) -> dict[str, Any]:
    """What the response says about the request."""
    version = asked.generation.prompt_version
    options = body.model_dump(by_alias=True, exclude_none=True)
    return {
        "model": asked.model,
        "instructions": body.instructions,
        "metadata": body.metadata or {},
        "prompt": None
        if version is None or body.prompt is None
        else {"id": body.prompt.id, "version": str(version.number), "variables": body.prompt.variables},
        "temperature": asked.params.get("temperature", 0.7),
        "top_p": asked.params.get("top_p", 0.95),
        "max_output_tokens": asked.params["max_tokens"],
        "text": {"format": {"type": "text"}, **options.get("text", {})},
        "user": body.user,
    }
