"""Several runners in one worker process, each looking in a thread of its own: a long import holds no mail up.

It does not know what they do.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from django.db import Error, connection

if TYPE_CHECKING:
    from jobs.runners.worker import Runner

log = logging.getLogger(__name__)

STOP_SECONDS = 15.0  # less than a worker waits for its runner


class SideBySide:
    def __init__(self, *runners: Runner) -> None:
        self.runners = runners
        self.looking: list[threading.Thread | None] = [None] * len(runners)

    @property
    def pause(self) -> float:
        return min(runner.pause for runner in self.runners)

    def facts(self) -> dict[str, Any]:
        return {name: fact for runner in self.runners for name, fact in runner.facts().items()}

    def look(self) -> None:
        """Have every runner look that is not still busy from the last time; returns at once."""
        for index, runner in enumerate(self.runners):
            thread = self.looking[index]
            if thread is None or not thread.is_alive():
                name = type(runner).__name__
                self.looking[index] = thread = threading.Thread(target=_look, args=(runner,), name=name, daemon=True)
                thread.start()

    def stop(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self.looking:
            if thread:
                thread.join(max(deadline - time.monotonic(), 0))
        for runner in self.runners:
            runner.stop()


def _look(runner: Runner) -> None:
    try:
        runner.look()
    except Error as error:
        log.warning("The database is away (%s); trying again.", error)
    except Exception:  # the thread's outermost frame: one bad job must not end the others
        log.exception("%s failed; it goes on", type(runner).__name__)
    finally:
        connection.close()
