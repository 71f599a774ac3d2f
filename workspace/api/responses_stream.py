"""A response of /v1/responses as it leaves: whole, or as OpenAI's events in OpenAI's order.

It knows one generation and what the request said about itself, and nothing of prompts.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any

from jobs.models import Generation
from jobs.openai.replies import ALIVE, Line, Replies, finished, line
from llmstudio.openai_errors import Refused


async def whole(generation: Generation, frame: dict[str, Any]) -> dict[str, Any]:
    return _response(generation, frame, await finished([generation]), int(time.time()))


async def stream(generation: Generation, frame: dict[str, Any]) -> AsyncGenerator[Line]:
    """Server-sent events. A failure before the first is raised; a later one ends the stream as `response.failed`."""
    started, number, begun = int(time.time()), -1, False
    place = {"item_id": _item_id(generation), "output_index": 0, "content_index": 0}

    def event(kind: str, **fields: Any) -> Line:
        nonlocal number
        number += 1
        return line({"type": kind, "sequence_number": number, **fields}, event=kind)

    async with Replies([generation]) as replies:
        try:
            async for piece in replies.new_text():
                if not begun:
                    begun = True
                    empty = _response(generation, frame, replies, started)
                    yield event("response.created", response=empty)
                    yield event("response.in_progress", response=empty)
                    item = {**_item(generation, ""), "status": "in_progress", "content": []}
                    yield event("response.output_item.added", output_index=0, item=item)
                    yield event("response.content_part.added", **place, part=_part(""))
                if piece is None:
                    yield ALIVE
                elif piece[1]:
                    yield event("response.output_text.delta", **place, delta=piece[1], logprobs=[])
        except Refused as error:
            if not begun:
                raise
            yield event("error", code=error.code, message=error.message, param=error.param)
            failed = _response(generation, frame, replies, started) | {
                "status": "failed",
                "error": {"code": error.code or "server_error", "message": error.message},
            }
            yield event("response.failed", response=failed)
            return
        done = _response(generation, frame, replies, started)
        text = replies.texts[0]
        yield event("response.output_text.done", **place, text=text, logprobs=[])
        yield event("response.content_part.done", **place, part=_part(text))
        yield event("response.output_item.done", output_index=0, item=done["output"][0])
        yield event(f"response.{done['status']}", response=done)


def _response(generation: Generation, frame: dict[str, Any], replies: Replies, started: int) -> dict[str, Any]:
    """As far as it is: completed, cut off at its longest (incomplete), or still in progress."""
    done = replies.done.get(0)
    cut = done is not None and done.finish_reason == "length"
    return {
        "id": f"resp_{generation.pk.hex}",
        "object": "response",
        "created_at": started,
        "status": "in_progress" if done is None else "incomplete" if cut else "completed",
        "completed_at": None if done is None or cut else int(time.time()),
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "max_tool_calls": None,
        "output": [_item(generation, replies.texts[0], cut=cut)] if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "truncation": "disabled",
        "usage": _usage(replies) if done else None,
        **frame,
    }


def _item_id(generation: Generation) -> str:
    return f"msg_{generation.pk.hex}"


def _item(generation: Generation, text: str, *, cut: bool = False) -> dict[str, Any]:
    return {
        "id": _item_id(generation),
        "type": "message",
        "role": "assistant",
        "status": "incomplete" if cut else "completed",
        "content": [_part(text)],
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(replies: Replies) -> dict[str, Any]:
    usage = replies.usage()
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total_tokens"],
    }
