"""One process of the studio: started, heard, restarted, stopped. It does not know what the process does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from llmstudio.embedded import die_with_parent

ROOT = Path(__file__).resolve().parent.parent
DEATHS, WITHIN = 5, 60.0  # what dies this often in this many seconds keeps dying
PAUSE = 0.5  # before the first restart; it doubles with each death
LOG_BYTES = 16 * 2**20  # then a log file becomes NAME.log.1 and a new one begins
COLOURS = {"web": 36, "infer": 35, "train": 33, "default": 32, "studio": 34}


class Trouble(RuntimeError):
    """The studio cannot run; the message says why and what to do."""


def show(text: str) -> None:
    """For the terminal. That it was closed is no reason to stop."""
    with contextlib.suppress(OSError):
        sys.stdout.write(text)
        sys.stdout.flush()


def say(name: str, text: str) -> None:
    """Lines under the name of whoever says them."""
    label = f"{name:>8} | "
    if sys.stdout.isatty():
        label = f"\033[{COLOURS.get(name, 37)}m{label}\033[0m"
    show("".join(f"{label}{line}\n" for line in text.splitlines()))


def turn_over(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))


class Deaths:
    """How often something ended lately, and so how long to wait before starting it again."""

    def __init__(self) -> None:
        self.times: deque[float] = deque(maxlen=DEATHS)

    def another(self) -> float | None:
        """Seconds to wait, or None: it keeps dying."""
        now = time.monotonic()
        self.times.append(now)
        recent = sum(now - at < WITHIN for at in self.times)
        return None if recent >= DEATHS else PAUSE * 2.0 ** (recent - 1)


class Child:
    """Its lines are printed under its name and kept in a log file. Started by the main thread only: it dies with it."""

    def __init__(self, name: str, command: list[str], env: Mapping[str, str], logs: Path, *, nice: int = 0) -> None:
        self.name, self.command, self.env, self.nice = name, command, env, nice
        self.log = logs / f"{name}.log"
        self.deaths = Deaths()
        self.last_lines: deque[str] = deque(maxlen=15)
        self.process: subprocess.Popen[str] | None = None
        self.reader: threading.Thread | None = None
        self.again_at = 0.0

    def start(self) -> None:
        die = die_with_parent(signal.SIGKILL)

        def prepare() -> None:
            die()
            os.nice(self.nice)

        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=dict(self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a Ctrl-C in the terminal is the supervisor's to pass on, in order
            preexec_fn=prepare,
        )
        self.reader = threading.Thread(target=self._copy, args=(self.process.stdout,), daemon=True)
        self.reader.start()

    def _copy(self, lines: IO[str] | None) -> None:
        for line in lines or ():
            try:
                turn_over(self.log)
                with self.log.open("a") as out:
                    out.write(line)
            except OSError as error:  # a full disk must not stop the reading: the child would hang on its pipe
                self.last_lines.append(f"(this line could not be kept in {self.log}: {error.strerror})")
            self.last_lines.append(line.rstrip())
            self.show(line.rstrip())

    def show(self, line: str) -> None:
        say(self.name, line)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tail(self) -> str:
        """Its last lines, all of them, once it has ended."""
        if self.reader:
            self.reader.join(timeout=2)
        return "\n".join(self.last_lines)

    def watch(self) -> None:
        """Start it again after a pause that grows with its recent deaths. Raises Trouble when it keeps dying."""
        if self.process is None or self.running:
            return
        if not self.again_at:
            pause = self.deaths.another()
            if pause is None:
                raise Trouble(
                    f"{self.name} keeps dying ({DEATHS} times within {WITHIN:.0f} s). Its last lines say why; "
                    f"more is in {self.log}.\n{self.tail()}"
                )
            say("studio", f"{self.name} ended ({_how(self.process.returncode)}). Starting it again in {pause:.1f} s.")
            self.again_at = time.monotonic() + pause
        elif time.monotonic() >= self.again_at:
            self.again_at = 0.0
            self.start()

    def signal(self, number: signal.Signals) -> None:
        if self.process and self.running:
            self.process.send_signal(number)

    def stop_by(self, deadline: float) -> None:
        """Wait for the end of a child that was asked to end; after the deadline take it and all it started."""
        if self.process is None:
            return
        try:
            self.process.wait(max(deadline - time.monotonic(), 0.05))
        except subprocess.TimeoutExpired:
            say("studio", f"{self.name} did not stop in time and is killed.")
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.tail()


def _how(status: int) -> str:
    return f"status {status}" if status >= 0 else signal.Signals(-status).name
