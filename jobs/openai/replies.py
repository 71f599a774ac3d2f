"""How answers leave: whole, or as server-sent events while they are made.

Follows the token log of each choice; when the client goes away the generations are cancelled. It does not know how a
request was checked or what an engine is.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Self, TypeVar

from channels.db import database_sync_to_async
from django.http import StreamingHttpResponse

from jobs.models import Cause, Generation, State, Worker
from jobs.tokenlog import Done, Event, Snapshot, follow
from llmstudio.openai_errors import Refused

SILENCE = 10.0  # seconds without a word after which a stream says that it is alive
FIRST_SILENCE = 5.0  # so long may an error still become a plain HTTP status
LONGEST = 900.0  # seconds for one request

Line = str
ALIVE: Line = ": keep-alive\n\n"

Asked = TypeVar("Asked")


async def unless_gone(asking: Coroutine[Any, Any, Asked], queued: Callable[[Asked], Sequence[Generation]]) -> Asked:
    """What was asked. Should the client leave in that very moment, what it queued is cancelled again."""
    queueing = asyncio.ensure_future(asking)
    try:
        return await asyncio.shield(queueing)
    except asyncio.CancelledError:
        await database_sync_to_async(_cancel)(queued(await queueing))
        raise


class Replies:
    """The choices of one request, followed together. Leaving early cancels what is unfinished."""

    def __init__(self, generations: Sequence[Generation]) -> None:
        self.generations = generations
        self.texts = [""] * len(generations)
        self.done: dict[int, Done] = {}
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue(64)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._follow(index, g)) for index, g in enumerate(self.generations)]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        unfinished = [g for index, g in enumerate(self.generations) if index not in self.done]
        if unfinished:
            await database_sync_to_async(_cancel)(unfinished)

    async def _follow(self, index: int, generation: Generation) -> None:
        async for event in follow(generation.pk):
            await self._events.put((index, event))

    async def new_text(self) -> AsyncIterator[tuple[int, str] | None]:
        """(choice, new text) as it comes, ("" when that choice is finished), and None after a silence. Raises Refused
        when a choice fails."""
        deadline = time.monotonic() + LONGEST
        silence = FIRST_SILENCE
        while len(self.done) < len(self.generations):
            try:
                async with asyncio.timeout(silence):  # wait_for would lose a cancellation that comes with an event
                    index, event = await self._events.get()
            except TimeoutError:
                for task in self._tasks:
                    if task.done():
                        task.result()  # following broke down: say so instead of waiting for ever
                await database_sync_to_async(_check_worker)()
                if time.monotonic() > deadline:
                    raise Refused(
                        504, f"The answer took longer than {LONGEST / 60:g} minutes and was stopped."
                    ) from None
                yield None
                continue
            silence = SILENCE
            if isinstance(event, Done):
                self.done[index] = event
                if event.state != State.SUCCEEDED:
                    raise _failure(event)
                yield index, ""
                continue
            delta = event.text[len(self.texts[index]) :] if isinstance(event, Snapshot) else event.delta
            if delta:
                self.texts[index] += delta
                yield index, delta

    def usage(self) -> dict[str, int]:
        """All choices answer one prompt, which is counted once."""
        prompt = max(done.prompt_tokens for done in self.done.values())
        completion = sum(done.completion_tokens for done in self.done.values())
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def finished(generations: Sequence[Generation]) -> Replies:
    """The replies once all of them are there."""
    async with Replies(generations) as replies:
        async for _ in replies.new_text():
            pass
    return replies


async def whole(generations: Sequence[Generation], model: str) -> dict[str, Any]:
    replies = await finished(generations)
    return {
        **_head(generations[0], model, "chat.completion"),
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": replies.done[index].finish_reason,
            }
            for index, text in enumerate(replies.texts)
        ],
        "usage": replies.usage(),
    }


async def stream(generations: Sequence[Generation], model: str, *, usage: bool) -> AsyncGenerator[Line]:
    """Server-sent events. A failure before the first line is raised; a later one is the last event."""
    head = _head(generations[0], model, "chat.completion.chunk") | ({"usage": None} if usage else {})
    begun: set[int] = set()
    spoken = False

    def chunk(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> Line:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return line(head | {"choices": [choice]})

    async with Replies(generations) as replies:
        try:
            async for piece in replies.new_text():
                spoken = True
                if piece is None:
                    yield ALIVE
                    continue
                index, text = piece
                if index not in begun:
                    begun.add(index)
                    yield chunk(index, {"role": "assistant", "content": "", "refusal": None})
                if index in replies.done:
                    yield chunk(index, {}, replies.done[index].finish_reason)
                else:
                    yield chunk(index, {"content": text})
        except Refused as error:
            if not spoken:
                raise
            yield line(error.body())
            return
        if usage:
            yield line(head | {"choices": [], "usage": replies.usage()})
    yield "data: [DONE]\n\n"


async def streamed(lines: AsyncGenerator[Line]) -> StreamingHttpResponse:
    """Server-sent events as an answer. What fails before the first of them is a plain error, with its status."""
    return StreamingHttpResponse(
        _continued(await anext(lines), lines),
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _continued(first: Line, lines: AsyncGenerator[Line]) -> AsyncIterator[Line]:
    """`lines` with the one already taken; closed with the response, so that a client who leaves stops the model."""
    async with aclosing(lines):
        yield first
        async for one in lines:
            yield one


def _head(generation: Generation, model: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{generation.pk.hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": None,
    }


def line(value: dict[str, Any], *, event: str = "") -> Line:
    """One server-sent event."""
    named = f"event: {event}\n" if event else ""
    return f"{named}data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _failure(done: Done) -> Refused:
    if done.finish_reason == "context_overflow":
        return Refused(400, done.message, param="messages", code="context_length_exceeded")
    if done.state == State.CANCELLED:
        return Refused(409, "The reply was stopped by someone in your team.", code="cancelled")
    status = {Cause.BAD_DATA: 400, Cause.MODEL_MISSING: 503, Cause.LOST: 503}.get(Cause(done.cause or Cause.ERROR), 500)
    return Refused(status, done.message or "The reply failed.", code=done.cause or Cause.ERROR)


def _check_worker() -> None:
    if "infer" not in Worker.objects.kinds_alive():
        raise Refused(503, "The chat worker has gone away. Start it again, then repeat the request.", code=Cause.LOST)


def _cancel(generations: Sequence[Generation]) -> None:
    for generation in generations:
        generation.request_cancel()
