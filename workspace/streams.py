"""One reply as the frames of a socket: the token log's events, joined so that a socket gets at most 20 a second.

It knows the token log and the wire format; not who may read, which the consumer has settled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast
from uuid import UUID

from django.db import DatabaseError
from redis.exceptions import RedisError

from jobs.tokenlog import Done, Event, Piece, Snapshot, follow

log = logging.getLogger(__name__)

INTERVAL = 0.05  # seconds between frames of one reply
RETRY = 1.0  # seconds to wait while the stores are away

Frame = dict[str, Any]


async def frames(generation_id: UUID, after: int) -> AsyncIterator[Frame]:
    """Everything after `after`, then live, to the end. Outages of the stores only delay it: it goes on where it was."""
    while True:
        try:
            async for frame in _frames(generation_id, after):
                after = frame.get("sequence_number", after)
                yield frame
            return
        except (DatabaseError, RedisError, OSError) as error:
            log.warning("Reply %s cannot be followed just now: %s", generation_id, error)
            await asyncio.sleep(RETRY)


async def _frames(generation_id: UUID, after: int) -> AsyncIterator[Frame]:
    """Each delta names the sequence number it follows (`after`), so that a reader sees gaps and overlaps by itself."""
    clock = asyncio.get_running_loop().time
    generation = str(generation_id)
    events = cast(AsyncGenerator[Event], follow(generation_id, after))
    ahead = asyncio.ensure_future(anext(events, None))
    held, upto, due = "", after, 0.0

    def delta() -> Frame:
        nonlocal held, after, due
        frame = _frame("response.output_text.delta", generation, sequence_number=upto, after=after, delta=held)
        held, after, due = "", upto, clock() + INTERVAL
        return frame

    try:
        while True:
            await asyncio.wait({ahead}, timeout=max(0.0, due - clock()) if held else None)
            if not ahead.done():
                yield delta()
                continue
            event = ahead.result()
            if isinstance(event, Piece):
                held, upto = held + event.delta, event.sequence_number
                if clock() >= due:
                    yield delta()
            else:
                if held:
                    yield delta()
                if isinstance(event, Snapshot):
                    after = upto = event.sequence_number
                    yield _frame("snapshot", generation, sequence_number=after, text=event.text)
                else:
                    if event:
                        yield _end(event)
                    return
            ahead = asyncio.ensure_future(anext(events, None))
    finally:
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)
        await events.aclose()


def _end(done: Done) -> Frame:
    generation = str(done.generation_id)
    if done.state == "failed":
        return _frame(
            "response.failed", generation, cause=done.cause, message=done.message, finish_reason=done.finish_reason
        )
    usage = {"prompt_tokens": done.prompt_tokens, "completion_tokens": done.completion_tokens}
    return _frame(
        "response.completed", generation, usage=usage, text_sha256=done.text_sha256, finish_reason=done.finish_reason
    )


def _frame(kind: str, generation: str, **fields: Any) -> Frame:
    return {"v": 1, "type": kind, "generation": generation, **fields}
