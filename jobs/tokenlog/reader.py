"""The readers' side of the token log: replay, then follow. It does not know sockets, nor who may read what."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import redis.asyncio
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError

from jobs.models import Generation
from jobs.tokenlog.events import AWAY, SAID, Done, Entry, Event, Piece, Snapshot, heard, key_of, parse

log = logging.getLogger(__name__)

BUFFER = 256  # entries a slow reader may lag behind before it jumps to a snapshot
LOOK_SECONDS = 1.0  # how often the row of a silent reply is looked at


async def follow(generation_id: UUID, after: int = 0) -> AsyncIterator[Event]:
    """What `batches` tells, one event at a time."""
    async with contextlib.aclosing(batches(generation_id, after)) as told:
        async for events in told:
            for event in events:
                yield event


async def batches(generation_id: UUID, after: int = 0) -> AsyncGenerator[list[Event]]:
    """A reply from entry `after` on, to its end, in lists of what came at once or while the last was dealt with.

    First a Snapshot, if `after` is 0 or the log does not reach back that far; then pieces without gap or duplicate, and
    again a Snapshot where the reader was too slow or the log was lost; in the end exactly one Done.
    Raises Generation.DoesNotExist.
    """
    async with Hub.current().reader(generation_id) as reader:
        events = await reader.catch_up(after or None)
        while True:
            if events:
                yield events
                if isinstance(events[-1], Done):
                    return
            events = await reader.next()


@dataclass(eq=False)
class Feed:
    """One followed reply: how far it has been heard, and by whom."""

    readers: set[Reader] = field(default_factory=set)
    number: int = 0
    heard_at: float = field(default_factory=time.monotonic)

    def push(self, entry: Entry) -> None:
        for reader in self.readers:
            reader.push(entry)


class Reader:
    """One follower of one reply. `cursor` is the last entry that it has handed on."""

    def __init__(self, hub: Hub, generation_id: UUID) -> None:
        self.hub, self.generation_id = hub, generation_id
        self.cursor = self.fence = 0
        self._inbox: list[Entry] = []
        self._overflowed = False
        self._stirred = asyncio.Event()

    def push(self, entry: Entry) -> None:
        if len(self._inbox) == BUFFER:
            self._overflowed = True
            self._inbox.clear()
        self._inbox.append(entry)
        self._stirred.set()

    async def next(self) -> list[Event]:
        """What has come since, at least one look later. May be empty."""
        await self._stirred.wait()
        self._stirred.clear()
        items, self._inbox = self._inbox, []
        if self._overflowed:
            self._overflowed = False
            return await self.catch_up(None)
        events: list[Event] = []
        for fence, number, delta in items:
            if number and fence < self.fence:  # of a worker that was given up; the log has refused it
                continue
            if number == 0 or number > self.cursor + 1:
                return events + await self.catch_up(self.cursor)
            if number == self.cursor + 1:
                self.cursor, self.fence = number, fence
                events.append(Piece(number, delta))
        return events

    async def catch_up(self, after: int | None) -> list[Event]:
        """Everything from `after` to now; None, or a log that does not reach back so far: a snapshot."""
        while True:
            try:
                row = await _row(self.generation_id)
            except DatabaseError as error:
                log.warning("A reply's row cannot be read (%s); trying again.", error)
                await asyncio.sleep(LOOK_SECONDS)
                continue
            if row.is_final:
                whole = after == row.sequence_number
                self.cursor = row.sequence_number
                return [_done(row)] if whole else [Snapshot(row.sequence_number, row.text), _done(row)]
            start = row.sequence_number if after is None else after
            entries = await self.hub.replay(row, start)
            reached = start + len(entries)
            if (entries[-1][0] if entries else start) == reached and row.sequence_number <= reached:
                self.cursor, self.fence = reached, row.fence
                if after is not None:
                    return [Piece(number, delta) for number, delta in entries]
                return [Snapshot(reached, row.text + "".join(delta for _, delta in entries))]
            if after is None:  # the log begins beyond the row's snapshot; the next one is due within a second
                await asyncio.sleep(LOOK_SECONDS / 4)
            after = None


class Hub:
    """One per event loop: hears what all replies say on one channel, and looks at the rows of those that are silent.

    One message for what all say at a moment: an XREAD over a key for each reply took the web process 0.092 ms of
    processor for each token of 25 replies, this takes 0.070, and a reply that begins need not be told to a running XREAD.
    What is lost on the way is found by its number missing, and read from the log.
    """

    _hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()

    def __init__(self) -> None:
        self.redis = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, decode_responses=True, socket_timeout=5, socket_connect_timeout=1
        )
        self.feeds: dict[UUID, Feed] = {}
        self._hearing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def current(cls) -> Hub:
        loop = asyncio.get_running_loop()
        if loop not in cls._hubs:
            cls._hubs[loop] = cls()
        return cls._hubs[loop]

    @contextlib.asynccontextmanager
    async def reader(self, generation_id: UUID) -> AsyncIterator[Reader]:
        feed = self.feeds.setdefault(generation_id, Feed())
        reader = Reader(self, generation_id)
        feed.readers.add(reader)  # before its first look: nothing that is said from now on can be missed
        self._tasks = self._tasks or [self._spawn(self._hear()), self._spawn(self._look())]
        try:
            with contextlib.suppress(TimeoutError):  # then gaps are found by their numbers, and the end by its row
                async with asyncio.timeout(LOOK_SECONDS):  # wait_for would lose a cancellation that comes as hearing begins
                    await self._hearing.wait()
            yield reader
        finally:
            feed.readers.discard(reader)
            if not feed.readers:
                self.feeds.pop(generation_id, None)
            if not self.feeds:
                await self._rest()

    async def replay(self, row: Generation, after: int) -> list[tuple[int, str]]:
        """What the log holds beyond `after`; empty if Redis is away."""
        try:
            return parse(await self.redis.xrange(key_of(row.pk), f"{row.fence}-{after + 1}", f"{row.fence}-{2**63}"))
        except AWAY:
            return []

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        """A task outside of any request's context, because it outlives the request that happens to start it."""
        return asyncio.get_running_loop().create_task(work, context=contextvars.Context())

    async def _rest(self) -> None:
        """Nobody follows anything: stop reading and let go of the connections."""
        tasks, self._tasks = self._tasks, []
        self._hearing.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not self.feeds:
            await self.redis.aclose()

    def _wanted(self) -> bool:
        """Whether the running task is still one of ours. A cancellation alone can be lost: asgiref keeps one that comes
        while a query runs to itself."""
        return asyncio.current_task() in self._tasks

    async def _hear(self) -> None:
        again = False
        while self._wanted():
            try:
                async with self.redis.pubsub() as channel:
                    await channel.subscribe(SAID)
                    async for message in channel.listen():
                        if message["type"] == "subscribe":
                            self._hearing.set()
                            if again:  # whoever was here before may have missed something
                                self._look_at(list(self.feeds))
                            again = True
                        else:
                            self._pass_on(message["data"])
            except AWAY as error:
                log.warning("The token log is away (%s); replies are read from the database.", error)
                self._hearing.clear()
                again = True
                await asyncio.sleep(LOOK_SECONDS)

    def _look_at(self, ids: Iterable[UUID]) -> None:
        """Have the readers of these look at the row and the log."""
        for pk in ids:
            if feed := self.feeds.get(pk):
                feed.push((0, 0, ""))

    def _pass_on(self, message: str) -> None:
        now = time.monotonic()
        for generation_id, entry in heard(message):
            if feed := self.feeds.get(generation_id):
                feed.heard_at, feed.number = now, max(feed.number, entry[1])
                feed.push(entry)

    async def _look(self) -> None:
        """Silent replies may have ended, or speak where Redis cannot carry it: have their readers look at the row."""
        while self._wanted():
            await asyncio.sleep(LOOK_SECONDS)
            silent = {pk: feed for pk, feed in self.feeds.items() if time.monotonic() - feed.heard_at >= LOOK_SECONDS}
            try:
                known = await _numbers(list(silent)) if silent else {}
            except DatabaseError as error:
                log.warning("The rows of replies cannot be read (%s); trying again.", error)
                continue
            for pk, feed in silent.items():
                number = known.get(pk)
                if number is None or number > feed.number:
                    feed.number = number or feed.number
                    self._look_at([pk])


def _row_of(generation_id: UUID) -> Generation:
    generation: Generation = Generation.objects.defer("messages", "params").get(pk=generation_id)
    return generation


def _numbers_of(ids: list[UUID]) -> dict[UUID, int]:
    return dict(Generation.rows().filter(pk__in=ids).unfinished().values_list("pk", "sequence_number"))


_row = database_sync_to_async(_row_of, thread_sensitive=False)
_numbers = database_sync_to_async(_numbers_of, thread_sensitive=False)


def _done(row: Generation) -> Done:
    return Done(
        row.pk, row.state, row.cause, row.message, row.finish_reason, row.text_sha256, row.prompt_tokens,
        row.completion_tokens,
    )  # fmt: skip
