"""One reply as the frames of a socket: the token log's events, joined so that a socket gets at most 20 a second.

It knows the token log and the wire format; not who may read, which the consumer has settled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from django.db import DatabaseError
from redis.exceptions import RedisError

from jobs.tokenlog import Done, Piece, Snapshot, batches

log = logging.getLogger(__name__)

INTERVAL = 0.05  # seconds between frames of one reply
RETRY = 1.0  # seconds to wait while the stores are away

Frame = dict[str, Any]


async def frames(generation_id: UUID, after: int) -> AsyncGenerator[Frame]:
    """Everything after `after`, then live, to the end. Outages of the stores only delay it: it goes on where it was."""
    while True:
        try:
            async with contextlib.aclosing(_frames(generation_id, after)) as told:
                async for frame in told:
                    after = frame.get("sequence_number", after)
                    yield frame
            return
        except (DatabaseError, RedisError, OSError) as error:
            log.warning("Reply %s cannot be followed just now: %s", generation_id, error)
            await asyncio.sleep(RETRY)


async def _frames(generation_id: UUID, after: int) -> AsyncGenerator[Frame]:
    """Each delta names the sequence number it follows (`after`), so that a reader sees gaps and overlaps by itself.

    A frame that would come too early waits, and what is said meanwhile comes in the next. A frame that came late gives the
    next as much time back, so pieces that arrive every INTERVAL with some jitter are passed on without a timer.
    """
    clock = asyncio.get_running_loop().time
    generation = str(generation_id)
    held, upto, due = "", after, 0.0

    async def delta() -> Frame:
        nonlocal held, after, due
        if (early := due - clock()) > 0:
            await asyncio.sleep(early)
        frame = _frame("response.output_text.delta", generation, sequence_number=upto, after=after, delta=held)
        held, after, due = "", upto, max(due, clock() - INTERVAL) + INTERVAL
        return frame

    async with contextlib.aclosing(batches(generation_id, after)) as told:
        async for events in told:
            for event in events:
                if isinstance(event, Piece):
                    held, upto = held + event.delta, event.sequence_number
                    continue
                if held:
                    yield await delta()
                if isinstance(event, Snapshot):
                    after = upto = event.sequence_number
                    yield _frame("snapshot", generation, sequence_number=after, text=event.text)
                else:
                    yield _end(event)
            if held:
                yield await delta()


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
