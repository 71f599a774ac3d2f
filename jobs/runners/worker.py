"""A worker process from the inside: it says that it is there, sweeps up after the dead, and runs one runner.

It starts and ends with the Celery worker around it, whose queue only ever rings the bell. It does not know what the
runner does.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import Any, Protocol

from django.conf import settings
from django.db import Error, connection
from django.db.models.functions import Now

from jobs.models import Worker
from jobs.runners import bell
from jobs.runners.sweep import Sweeper
from jobs.tasks import looking

log = logging.getLogger(__name__)

BEAT_SECONDS = 3.0
STOP_SECONDS = 18.0  # less than a supervisor waits for us


class Runner(Protocol):
    """What a worker does, in one thread (SideBySide: each of several in its own). `look` claims and does what there is
    to do, and returns soon once the worker is stopping; `pause` is how long to wait for the bell before the next look;
    `stop` comes last."""

    @property
    def pause(self) -> float: ...

    def look(self) -> None: ...

    def facts(self) -> dict[str, Any]: ...

    def stop(self) -> None: ...


def runner_for(kind: str, name: str, stopping: threading.Event) -> Runner:
    """The runner of this kind; the imports are here so that each worker loads only what it needs."""
    match kind:
        case "infer":
            from jobs.runners.infer import InferRunner

            return InferRunner(name)
        case "train":
            from jobs.runners.train import TrainRunner

            return TrainRunner(name, stopping)
        case "default":
            from jobs.runners.imports import ImportRunner
            from jobs.runners.mail import MailRunner
            from jobs.runners.quality import QualityRunner
            from jobs.runners.side_by_side import SideBySide

            return SideBySide(ImportRunner(name, stopping), MailRunner(name, stopping), QualityRunner(stopping))
    raise ValueError(f"STUDIO_WORKER is {kind!r}; it must be infer, train or default.")


class WorkerProcess:
    """Two threads: a heart, which only beats and sweeps, and the loop, which looks, and waits for the bell."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.name = f"{kind}@{socket.gethostname()}:{os.getpid()}"
        self.stopping = threading.Event()
        self.runner = runner_for(kind, self.name, self.stopping)
        self.heart = threading.Thread(target=self._beat, name="heart", daemon=True)
        self.loop = threading.Thread(target=self._run, name="loop", daemon=True)

    def start(self) -> None:
        self.heart.start()
        self.loop.start()

    def shutting_down(self) -> None:
        self.stopping.set()
        bell.ring(self.kind)

    def stop(self) -> None:
        """Wait until what is held is finished or handed back, then sign off."""
        self.shutting_down()
        self.loop.join(STOP_SECONDS)
        self.heart.join(BEAT_SECONDS)
        try:
            Worker.objects.filter(pk=self.name).delete()
        except Error as error:
            log.warning("Could not sign off: %s", error)

    def _beat(self) -> None:
        sweeper = Sweeper()
        while not self.stopping.is_set():
            try:
                self._report()
                sweeper.sweep()
            except Error as error:
                log.warning("The database is away (%s); trying again.", error)
                connection.close()
            except Exception:  # the thread's outermost frame: a heart that stops makes a healthy worker look dead
                log.exception("A sweep failed")
            self.stopping.wait(BEAT_SECONDS)

    def _report(self) -> None:
        worker = Worker(
            name=self.name,
            kind=self.kind,
            host=socket.gethostname(),
            pid=os.getpid(),
            facts=self.runner.facts(),
            seen_at=Now(),
        )
        Worker.objects.bulk_create(
            [worker], update_conflicts=True, unique_fields=["name"], update_fields=["facts", "seen_at"]
        )

    def _run(self) -> None:
        while not self.stopping.is_set():
            looking(self.kind)
            self._guarded(self.runner.look)
            bell.wait(self.runner.pause)
        self._guarded(self.runner.stop)

    def _guarded(self, step: Any) -> None:
        try:
            step()
        except Error as error:
            log.warning("The database is away (%s); trying again.", error)
            connection.close()
            time.sleep(1)
        except Exception:  # the thread's outermost frame: one bad job must not end the worker
            log.exception("The %s runner failed; it goes on", self.kind)
            time.sleep(1)


_running: WorkerProcess | None = None


def start() -> None:
    """Become the worker that STUDIO_WORKER names."""
    global _running
    if settings.STUDIO_WORKER:
        _running = WorkerProcess(settings.STUDIO_WORKER)
        _running.start()


def shutting_down() -> None:
    """From a signal handler, which may have interrupted this very thread while it holds the bell's lock."""
    if _running:
        threading.Thread(target=_running.shutting_down, daemon=True).start()


def stop() -> None:
    global _running
    if _running:
        _running.stop()
        _running = None
