"""Inside a worker: what a doorbell wakes. One event per process; a runner waits on it between looks."""

from __future__ import annotations

import threading

_rung = threading.Event()
_called = threading.Event()
_sent = threading.Event()


def ring(kind: str) -> None:
    """There may be new work: something here has made room for it, or the worker is to end."""
    _called.set()
    _rung.set()


def message(kind: str) -> None:
    """Someone elsewhere has new work, and says so no more until the look that follows has begun."""
    _sent.set()
    ring(kind)


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
    return _taken(_called)


def sent() -> bool:
    """Whether a message came since the last time this was asked."""
    return _taken(_sent)


def _taken(event: threading.Event) -> bool:
    was = event.is_set()
    event.clear()
    return was
