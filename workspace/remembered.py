"""Figures that cost time and never change, kept in the cache by a name for what they are computed from.

A cache that does not answer only costs the time again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.core.cache import cache
from redis.exceptions import RedisError

K = TypeVar("K")

KEPT = 30 * 86_400  # seconds; what is remembered stays true, so this only bounds the cache


def remembered(names: Mapping[K, str], compute: Callable[[K], Any]) -> dict[K, Any]:
    """For each key its figure: as remembered under its name, else computed now and remembered."""
    known: dict[str, Any] = {}
    with contextlib.suppress(RedisError, OSError):
        known = cache.get_many(set(names.values()))
    fresh: dict[str, Any] = {}
    for key, name in names.items():
        if name not in known and name not in fresh:
            fresh[name] = compute(key)
    if fresh:
        with contextlib.suppress(RedisError, OSError):
            cache.set_many(fresh, KEPT)
    known |= fresh
    return {key: known[name] for key, name in names.items()}
