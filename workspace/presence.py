"""Who is looking at what, now: a Redis sorted set per object, scored by when each socket's mark runs out.

Small, lossy, and asked for nothing but avatars; while Redis is away nobody seems to be here.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Iterable
from typing import Any, cast
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

Mark = tuple[str, str, str]  # a thing, who is there, and the socket that says so

MARK = 30.0  # seconds a socket counts as present without renewing its mark
PAUSE = 0.25  # seconds between two words about one place

# Places of which everyone was told a moment ago, and whether someone has come or gone since.
_told: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], bool]] = WeakKeyDictionary()
_telling: set[asyncio.Task[None]] = set()
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = WeakKeyDictionary()


def _redis() -> Redis:
    """One client per event loop; a process has one loop, a test run has many."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = Redis.from_url(settings.REDIS_URL, decode_responses=True)
    return _clients[loop]


def _key(thing: str) -> str:
    return f"studio:presence:{thing}"


async def mark(thing: str, who: str, socket: str) -> None:
    """Enter, or stay. A person with two tabs has two marks, and leaves with the last. `who` is the person's id, and
    may say more after a |."""
    try:
        async with _redis().pipeline(transaction=False) as pipe:
            pipe.zadd(_key(thing), {f"{who}|{socket}": time.time() + MARK})
            pipe.expire(_key(thing), int(2 * MARK))
            await pipe.execute()
    except (RedisError, OSError) as error:
        log.debug("Presence was not marked: %s", error)


async def stay(marks: Iterable[Mark]) -> dict[str, list[str]]:
    """Renew many marks in one exchange; returns who is at each of their places, or nothing while Redis is away."""
    places: dict[str, dict[str, float]] = {}
    until = time.time() + MARK
    for thing, who, socket in marks:
        places.setdefault(thing, {})[f"{who}|{socket}"] = until
    if not places:
        return {}
    try:
        async with _redis().pipeline(transaction=False) as pipe:
            for thing, here in places.items():
                pipe.zadd(_key(thing), here)
                pipe.expire(_key(thing), int(2 * MARK))
                pipe.zrange(_key(thing), time.time(), "+inf", byscore=True)
            answers = await pipe.execute()
    except (RedisError, OSError) as error:
        log.debug("Presence was not renewed: %s", error)
        return {}
    return {thing: _each_once(found) for thing, found in zip(places, answers[2::3], strict=True)}


async def leave(thing: str, who: str, socket: str) -> None:
    try:
        await _redis().zrem(_key(thing), f"{who}|{socket}")
    except (RedisError, OSError) as error:
        log.debug("Presence was not removed: %s", error)


async def people(thing: str) -> list[str]:
    """Who is here, each once, in a stable order."""
    try:
        marks = cast(list[str], await _redis().zrange(_key(thing), time.time(), "+inf", byscore=True))
    except (RedisError, OSError):
        return []
    return _each_once(marks)


def _each_once(marks: Iterable[str]) -> list[str]:
    return sorted({mark.rpartition("|")[0] for mark in marks})


async def tell(group: str, event: dict[str, Any]) -> None:
    """Tell every socket of the group; lost if Redis is away."""
    try:
        if layer := get_channel_layer():
            await layer.group_send(group, event)
    except (RedisError, OSError) as error:
        log.debug("Not told: %s", error)


async def tell_who(group: str, thing: str) -> None:
    """Have everyone of the group look again at who is at `thing`: now, and while more come and go, once for all of them
    every quarter of a second. Each of a crowd of N would else be told N times."""
    places = _told.setdefault(asyncio.get_running_loop(), {})
    if (group, thing) in places:
        places[group, thing] = True
        return
    places[group, thing] = False
    task = asyncio.create_task(_tell_on(places, group, thing), context=contextvars.Context())
    _telling.add(task)
    task.add_done_callback(_telling.discard)
    await tell(group, {"type": "presence", "object": thing})


async def _tell_on(places: dict[tuple[str, str], bool], group: str, thing: str) -> None:
    try:
        while True:
            await asyncio.sleep(PAUSE)
            if not places[group, thing]:
                return
            places[group, thing] = False
            await tell(group, {"type": "presence", "object": thing})
    finally:
        del places[group, thing]
