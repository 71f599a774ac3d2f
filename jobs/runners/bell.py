"""Inside a worker: what a doorbell wakes. One event per process; a runner waits on it between looks."""

from __future__ import annotations

import threading

_rung = threading.Event()
_called = threading.Event()


def ring(kind: str) -> None:
    """Someone has new work."""
    _called.set()
    _rung.set()


def stir() -> None:
    """Work that is held here goes on; there is nothing new to claim."""
    _rung.set()


def wait(seconds: float) -> bool:
    """Wait until rung or stirred, or `seconds` have passed; True if so."""
    rung = _rung.wait(seconds)
    _rung.clear()
    return rung


def called() -> bool:
    """Whether it was rung for new work since the last time this was asked."""
    called = _called.is_set()
    _called.clear()
    return called
