"""Who is looking at what, now: a Redis sorted set per object, scored by when each socket's mark runs out.

Small, lossy, and asked for nothing but avatars; while Redis is away nobody seems to be here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, cast
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

MARK = 30.0  # seconds a socket counts as present without renewing its mark

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
    return sorted({mark.rpartition("|")[0] for mark in marks})


async def tell(group: str, event: dict[str, Any]) -> None:
    """Tell every socket of the group; lost if Redis is away."""
    try:
        if layer := get_channel_layer():
            await layer.group_send(group, event)
    except (RedisError, OSError) as error:
        log.debug("Not told: %s", error)
