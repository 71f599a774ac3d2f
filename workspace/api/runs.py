"""POST /api/prompts/{name}/run: fill a prompt in, have it answered, and say how it went."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from channels.db import database_sync_to_async
from django.http import HttpResponse, JsonResponse
from ninja import Query, Router

from jobs.models import Generation
from jobs.openai.replies import ALIVE, Line, Replies, finished, line, streamed
from jobs.structured import unfenced
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused
from workspace.api import prompts
from workspace.api.asking import Asked, Question, ask, unless_gone
from workspace.api.lookup import find
from workspace.api.shapes import Run
from workspace.prompts import PromptError, checked_messages, placeholders_in

router = Router(tags=["prompts"])


@router.post("/prompts/{path:name}/run", url_name="run")
async def run_prompt(request: StudioRequest, name: str, body: Run) -> Any:
    """The answer with its usage, the prompt's version and, where the prompt asks for JSON by a schema, whether it is.
    With `stream`, server-sent events: `delta` with new text, then `done` with all of this, or `error`."""
    asked = await unless_gone(database_sync_to_async(_ask)(request, name, body))
    if not body.stream:
        return JsonResponse(await _result(asked, await finished([asked.generation])))
    return await streamed(_stream(asked))


@router.get("/prompts/{path:name}/run", url_name="run", include_in_schema=False)
def get_prompt_named_so(request: StudioRequest, name: str, query: Query[prompts.Wanted]) -> HttpResponse:
    """A GET here means a prompt whose own name ends so."""
    return prompts.get_prompt(request, f"{name}/run", query)


def _ask(request: StudioRequest, name: str, body: Run) -> Asked:
    version = find(request.team, name, version=body.version, label=body.label, resolve=False).version
    places = placeholders_in(version.messages)
    filled = {}
    for place, turns in body.placeholders.items():
        if place not in places:
            has = f"It has {', '.join(places)}." if places else "It has none."
            raise Refused(400, f"This prompt has no placeholder {place}. {has}", param="placeholders", code="unknown")
        try:
            filled[place] = checked_messages([turn.model_dump(exclude_none=True) for turn in turns]) if turns else []
        except PromptError as error:
            raise Refused(400, str(error), param=f"placeholders.{place}", code=error.code) from None
        if placeholders_in(filled[place]):
            raise Refused(400, "A placeholder is filled with messages.", param=f"placeholders.{place}")
    question = Question(
        version=version,
        values=body.variables,
        placeholders=filled,
        model=body.model,
        params=body.params.model_dump(exclude_none=True),
    )
    names = {field: f"params.{field}" for field in type(body.params).model_fields}
    return ask(request, question, variables="variables", names=names)


async def _stream(asked: Asked) -> AsyncGenerator[Line]:
    begun = False
    async with Replies([asked.generation]) as replies:
        try:
            async for piece in replies.new_text():
                begun = True
                if piece is None:
                    yield ALIVE
                elif piece[1]:
                    yield line({"text": piece[1]}, event="delta")
        except Refused as error:
            if not begun:
                raise
            yield line(error.body(), event="error")
            return
        yield line(await _result(asked, replies), event="done")


async def _result(asked: Asked, replies: Replies) -> dict[str, Any]:
    row = await Generation.objects.select_related("prompt_version__prompt").aget(pk=asked.generation.pk)
    version, text = row.prompt_version, replies.texts[0]
    schema = asked.params.get("json_schema")
    return {
        "id": str(row.pk),
        "prompt": {"name": version.prompt.name, "version": version.number} if version else None,
        "model": asked.model,
        "text": text,
        "json": _parsed(text) if schema and not row.schema_problem else None,
        "schema": {"valid": not row.schema_problem, "problem": row.schema_problem or None} if schema else None,
        "finish_reason": replies.done[0].finish_reason,
        "usage": replies.usage(),
        "first_token_ms": row.first_token_ms,
        "total_ms": row.total_ms,
    }


def _parsed(text: str) -> Any:
    """The answer as JSON; models like to put it between fences."""
    try:
        return json.loads(unfenced(text))
    except ValueError:
        return None
