"""How many requests an API key, or acts a person, may make in a minute. Counted in Redis; while that is away nobody is turned down."""

from __future__ import annotations

import logging
import time

from django.core.cache import cache
from redis.exceptions import RedisError

log = logging.getLogger(__name__)


def seconds_to_wait(name: str, limit: int) -> int:
    """Count one request of `name`: 0 if it is within this minute's number, else the seconds until the next minute."""
    now = time.time()
    counter = f"rate:{name}:{int(now // 60)}"
    try:
        cache.add(counter, 0, timeout=120)
        count = cache.incr(counter)
    except (RedisError, OSError, ValueError) as error:  # ValueError: the counter vanished, so Redis was emptied
        log.warning("A request was not counted: %s", error)
        return 0
    return 0 if count <= limit else 60 - int(now % 60)
