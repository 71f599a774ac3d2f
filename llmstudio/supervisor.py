"""`python -m llmstudio run`: the whole studio on one machine, in one terminal.

Starts PostgreSQL and Valkey (unless DATABASE_URL and REDIS_URL name others), migrates, starts web and workers, restarts
what dies, and stops everything in reverse order. Imports no Django, and knows the processes by their commands only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from llmstudio import probe
from llmstudio import supervisor_checks as checks
from llmstudio.embedded import Postgres, Service, ServiceError, Valkey, signal_at_parents_end
from llmstudio.supervisor_child import ROOT, WITHIN, Child, Deaths, Trouble, say, show, turn_over

DEFAULT_MODEL = "smollm2-135m-instruct"
WORKERS = ("infer", "train", "default")
STOP_SECONDS = 20.0  # a worker hands back what it holds; the web process lets answers finish
SLOW_SECONDS = 60.0
NO_ROOT_WARNING = "ignore::UserWarning:celery.platforms"  # it is about pickled messages, and ours are JSON


def web_command(host: str, port: int, processes: int = 1) -> list[str]:
    """More than one process share the port: uvicorn starts them, and starts one again that dies."""
    command = [
        sys.executable, "-m", "uvicorn", "llmstudio.asgi:application", "--host", host, "--port", str(port),
        "--lifespan", "off", "--log-level", "warning", "--timeout-graceful-shutdown", "5",
        # Frames are short; compressing them takes 40 KiB of memory for each open tab, idle ones too.
        "--ws-max-size", "1048576", "--ws-per-message-deflate", "false",
    ]  # fmt: skip
    return command if processes == 1 else [*command, "--workers", str(processes)]


def worker_command(kind: str) -> list[str]:
    return [
        sys.executable, "-W", NO_ROOT_WARNING, "-m", "celery", "--quiet", "-A", "llmstudio", "worker", "--pool", "solo",
        "-Q", kind, "-n", f"{kind}@%h",
        "--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip


def thread_budgets(cores: int) -> dict[str, str]:
    """Chat may use every core; a trainer half of them, at a low priority, so that it yields to replies."""
    return {"STUDIO_INFER_THREADS": str(cores), "STUDIO_TRAIN_THREADS": str(max(1, cores // 2))}


class Step(Child):
    """A child that does one thing and ends. What jobs.ml prints as JSON is shown as the sentence in it."""

    def show(self, line: str) -> None:
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                line = json.loads(line).get("message", "")
        say("studio", line)


class Supervisor:
    """`with_parent`: end in good order when the process that started this one is killed (`make run`)."""

    def __init__(self, environ: Mapping[str, str], *, with_parent: bool = False) -> None:
        self.began = time.monotonic()
        self.environ = environ
        self.with_parent = with_parent
        self.home = Path(environ.get("STUDIO_HOME") or ROOT / "var").resolve()
        self.host = environ.get("STUDIO_BIND") or "127.0.0.1"
        self.services: list[Service] = []
        self.children: list[Child] = []
        self.deaths: dict[str, Deaths] = {}
        self.stopping = threading.Event()
        self.lock: IO[str] | None = None

    def run(self) -> int:
        os.umask(0o077)  # what people write here is for nobody else on this machine
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # started by nohup: stay
                signal.signal(number, self._asked_to_stop)
        if self.with_parent:
            signal_at_parents_end(signal.SIGTERM)
        try:
            self._check()
            self._start()
            while not self.stopping.wait(0.2):
                self._watch()
        except (Trouble, ServiceError) as error:
            say("studio", str(error))
            return 1
        except OSError as error:
            say("studio", checks.refused(error))
            return 1
        finally:
            self._stop()
        return 0

    def _asked_to_stop(self, number: int, frame: object) -> None:
        """The first time in good order, the second time at once."""
        if self.stopping.is_set():
            for child in self.children:
                child.signal(signal.SIGKILL)
        self.stopping.set()

    def _check(self) -> None:
        self.port = checks.port(self.environ.get("PORT") or "8000")
        self.web_processes = checks.web_processes(self.environ.get("WEB_PROCESSES") or "1")
        checks.data_folder(self.home)
        self.lock = checks.only_one(self.home)
        checks.data_version(self.home)
        checks.postgres_version(self.home)
        self.model = self.home / "models" / DEFAULT_MODEL
        checks.room(self.home, first=not (self.model / "studio.json").exists())
        checks.port_free(self.host, self.port)
        self.env = {
            **thread_budgets(len(os.sched_getaffinity(0))),
            "OMP_WAIT_POLICY": "PASSIVE",  # idle threads sleep: the others share these cores
            "TOKENIZERS_PARALLELISM": "false",
            "TQDM_DISABLE": "1",  # progress bars are no log lines; the steps say in words where they are
            **self.environ,
            "STUDIO_HOME": str(self.home),
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "llmstudio.settings",
        }

    # starting

    def _start(self) -> None:
        if not (self.model / "studio.json").exists():
            say("studio", "Preparing the base model. This takes about a minute, once.")
            self._step("The base model could not be prepared.", "-m", "jobs.ml", "prepare", str(self.model))
        if not self.environ.get("DATABASE_URL"):
            self.services.append(Postgres(self.home))
        if not self.environ.get("REDIS_URL"):
            self.services.append(Valkey(self.home))
        for service in self.services:
            turn_over(service.log)
            service.start()
        self._step("The database could not be brought up to date.", "manage.py", "prepare")
        if self.stopping.is_set():
            return
        logs = self.home / "logs"
        # Without a bound glibc keeps an arena of freed memory for each of some forty threads.
        web = {"MALLOC_ARENA_MAX": "2", **self.env}
        self.children.append(Child("web", web_command(self.host, self.port, self.web_processes), web, logs))
        for kind in WORKERS:
            env = {**self.env, "STUDIO_WORKER": kind}
            nice = 10 if kind == "train" else 0  # which its trainer inherits: chat and pages come first
            self.children.append(Child(kind, worker_command(kind), env, logs, nice=nice))
        for child in self.children:
            child.start()
        self._wait_ready()

    def _step(self, failed: str, *arguments: str) -> None:
        """Something that must succeed before the next."""
        if self.stopping.is_set():
            return
        step = Step("setup", [sys.executable, *arguments], self.env, self.home / "logs")
        step.start()
        while step.running:
            if self.stopping.wait(0.02):
                step.signal(signal.SIGTERM)
                step.stop_by(time.monotonic() + 5)
                return
        tail = step.tail()
        if step.process and step.process.returncode:
            raise Trouble(f"{failed} The lines above say why; they are also in {step.log}." if tail else failed)

    def _wait_ready(self) -> None:
        public = self.environ.get("STUDIO_URL")
        slow_at = time.monotonic() + SLOW_SECONDS
        while not self.stopping.wait(0.1):
            self._watch()
            missing = probe.missing(self.address, urlsplit(public).netloc if public else "127.0.0.1")
            if not missing:
                say("studio", "Press Ctrl-C to stop.")
                show(f"ready  {public or self.address}  ({time.monotonic() - self.began:.1f} s)\n")
                return
            if time.monotonic() > slow_at:
                say("studio", f"Still waiting for {', '.join(missing)}. The files in {self.home / 'logs'} may say why.")
                slow_at += SLOW_SECONDS

    @property
    def address(self) -> str:
        """Where this machine reaches the web process."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    # running

    def _watch(self) -> None:
        for service in self.services:
            if not service.running:
                self._restart(service)
        for child in self.children:
            child.watch()

    def _restart(self, service: Service) -> None:
        pause = self.deaths.setdefault(service.name, Deaths()).another()
        if pause is None:
            tail = service.log.read_text(errors="replace")[-1500:]
            raise Trouble(f"{service.name} keeps dying within {WITHIN:.0f} s. The end of {service.log}:\n{tail}")
        say("studio", f"{service.name} ended. Starting it again.")
        if not self.stopping.wait(pause):
            service.start()

    # stopping

    def _stop(self) -> None:
        """Workers, then web, then the services that both need."""
        web, workers = self.children[:1], self.children[1:]
        for group in (workers, web):
            for child in group:
                child.signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            for child in group:
                child.stop_by(deadline)
        for service in reversed(self.services):
            service.stop()
