"""How many requests an API key, or acts a person, may make in a minute. Counted in Redis; while that is away nobody is turned down."""

from __future__ import annotations

import logging
import time

from asgiref.sync import sync_to_async
from django.core.cache import cache
from redis.exceptions import RedisError

log = logging.getLogger(__name__)


def seconds_to_wait(name: str, limit: int) -> int:
    """Count one request of `name`: 0 if it is within this minute's number, else the seconds until the next minute."""
    now = time.time()
    count = _add(f"rate:{name}:{int(now // 60)}", 1)
    return 0 if count <= limit else 60 - int(now % 60)


class Tally:
    """Counts in this process and tells Redis at most once a second or every hundred: for doors that answer a thousand
    times a second. A limit is kept to within that much in each process."""

    EVERY, SECONDS = 100, 1.0

    def __init__(self) -> None:
        self.untold: dict[str, int] = {}
        self.told_at: dict[str, float] = {}
        self.over: dict[str, int] = {}  # name -> the minute in which it reached its limit

    async def allows(self, name: str, limit: int) -> bool:
        """Count one request of `name`. False once this minute's number is reached."""
        now = time.time()
        minute = int(now // 60)
        if self.over.get(name) == minute:
            return False
        count = self.untold[name] = self.untold.get(name, 0) + 1
        if count < min(self.EVERY, limit) and now - self.told_at.get(name, 0.0) < self.SECONDS:
            return True
        self.untold[name], self.told_at[name] = 0, now
        total = await sync_to_async(_add, thread_sensitive=False)(f"rate:{name}:{minute}", count)
        if total > limit:
            self.over[name] = minute
        if len(self.told_at) > 10_000:  # keys come and go
            self.__init__()  # type: ignore[misc]
        return total <= limit


def _add(counter: str, count: int) -> int:
    try:
        cache.add(counter, 0, timeout=120)
        return int(cache.incr(counter, count))
    except (RedisError, OSError, ValueError) as error:  # ValueError: the counter vanished, so Redis was emptied
        log.warning("%d requests were not counted: %s", count, error)
        return 0
