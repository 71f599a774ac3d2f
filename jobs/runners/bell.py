"""Inside a worker: what a doorbell wakes. One event per process; a runner waits on it between looks."""

from __future__ import annotations

import threading

_rung = threading.Event()


def ring(kind: str) -> None:
    _rung.set()


def wait(seconds: float) -> bool:
    """Wait until rung or `seconds` have passed; True if rung."""
    rung = _rung.wait(seconds)
    _rung.clear()
    return rung
