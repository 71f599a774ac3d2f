"""The train worker's runner: claims one fine-tune, runs `python -m jobs.ml train` as a child, writes down what it says.

The lease is held here and the child dies with this process. Liveness (the lease) and progress (the child's lines) are
two clocks. Every write carries the fence, so an attempt that was given up cannot disturb its successor; its files are
in a folder of their own. It does not know torch.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import Error, connection

from jobs import notices
from jobs.ml import memory
from jobs.models import Cause, Checkpoint, FineTune, LeaseLost, State
from jobs.runners import bell, child, rundir
from jobs.runners.artefacts import is_whole
from jobs.runners.lease import kept
from jobs.runners.record import Record

log = logging.getLogger(__name__)

TICK = 0.5  # between two writes
BEAT_SECONDS = 3.0
STALL_SECONDS = 15 * 60.0  # without a line from the child: longer than any evaluation ought to take
GRACE_SECONDS = {"cancel": 10.0}  # between asking the child to go and killing it
GRACE = 12.0  # less than a supervisor waits for us
DATABASE_SECONDS = 120.0  # how long a child trains on while nothing can be written down


class TrainRunner:
    pause = 5.0

    def __init__(self, name: str, stopping: threading.Event) -> None:
        self.name, self.stopping = name, stopping

    def facts(self) -> dict[str, Any]:
        return {
            "memory_bytes": memory.total(),
            "threads": settings.STUDIO_TRAIN_THREADS or len(os.sched_getaffinity(0)),
            "device": "cuda" if Path("/dev/nvidiactl").exists() else "cpu",
        }

    def look(self) -> None:
        while not self.stopping.is_set() and (claimed := FineTune.objects.all().claim(self.name)):
            try:
                Attempt(claimed[0], self.stopping).run()
            except LeaseLost as error:
                log.warning("%s", error)

    def stop(self) -> None:
        """Nothing is held between two looks."""


class Attempt:
    """One attempt at one fine-tune, from its claim to its end."""

    def __init__(self, finetune: FineTune, stopping: threading.Event) -> None:
        self.finetune, self.stopping = finetune, stopping
        self.record = Record(finetune)
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.log_path = finetune.run_dir / f"attempt-{finetune.fence}.log"
        self.log_read = 0
        self.why = ""  # the child was asked to go: cancel, pause, shutdown, database or stall
        self.asked_at = 0.0
        self.finish_asked = False
        self.heard_at = self.wrote_at = time.monotonic()

    def run(self) -> None:
        finetune = self.finetune
        finetune.write(status_line="Preparing the data.", eta_seconds=None)
        self._tell()
        try:
            with kept(finetune):
                rundir.write(finetune)
        except rundir.Refused as error:
            self.record.note(str(error), level="error")
            self.record.write()
            finetune.finish(State.FAILED, cause=error.cause, message=str(error), status_line="")
            self._tell()
            return
        checkpoint = rundir.newest_checkpoint(finetune)
        where = f"from its checkpoint at step {checkpoint.step:,}" if checkpoint else "from the beginning"
        self.record.note(f"Attempt {finetune.fence} starts {where}.")
        oom_kills = child.oom_kills()
        process = self._spawn(checkpoint)
        try:
            self._watch(process)
            status = process.wait()
            self._when_possible(lambda: self._settle(status, out_of_memory=child.oom_kills() > oom_kills))
        finally:
            child.kill(process)
            self._tell()

    def _spawn(self, checkpoint: Checkpoint | None) -> subprocess.Popen[str]:
        finetune = self.finetune
        command = [sys.executable, "-m", "jobs.ml", "train", str(finetune.run_dir), "--attempt", str(finetune.fence)]
        command += ["--parent", str(os.getpid()), "--threads", str(settings.STUDIO_TRAIN_THREADS)]
        if checkpoint:
            command += ["--resume", str(finetune.run_dir / checkpoint.folder)]
        process = child.spawn(command, log=self.log_path)
        threading.Thread(target=self._listen, args=(process,), name="trainer", daemon=True).start()
        return process

    def _listen(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self.lines.put(line)
        self.lines.put(None)

    def _watch(self, process: subprocess.Popen[str]) -> None:
        """Until the child closes its output: write down, keep the lease, pass on what people ask for."""
        while self._take_lines():
            now = time.monotonic()
            if now - self.heard_at > STALL_SECONDS:
                self._send_away(process, "stall")
            try:
                self._read_log()
                if self.record.write():
                    self._tell()
                    self.wrote_at = now
                elif now - self.wrote_at > BEAT_SECONDS:
                    self.finetune.beat()
                    self.wrote_at = now
                self._obey(process)
            except Error as error:
                # The sweep waits for us after an outage, and the fence holds if it should not: so train on for a while.
                log.warning("The database is away (%s); the trainer goes on.", error)
                connection.close()
                if now - self.wrote_at > DATABASE_SECONDS:
                    self._send_away(process, "database")

    def _take_lines(self) -> bool:
        """What the child prints within one tick; False once it has closed its output."""
        deadline = time.monotonic() + TICK
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self.lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                return False
            self.heard_at = time.monotonic()
            self.record.take(line)
        return True

    def _obey(self, process: subprocess.Popen[str]) -> None:
        """Cancel, pause and stop are columns; a shutdown of this worker is for us to see."""
        finetune = self.finetune
        asked = FineTune.objects.values("cancel_requested_at", "pause_requested_at", "stop_requested_at")
        wishes = asked.get(pk=finetune.pk)
        if wishes["cancel_requested_at"]:
            self._send_away(process, "cancel")
        elif wishes["pause_requested_at"]:
            if finetune.state == State.RUNNING:
                finetune.write(state=State.PAUSING)
            self._send_away(process, "pause")
        elif self.stopping.is_set():
            self._send_away(process, "shutdown")
        elif wishes["stop_requested_at"] and self.record.started and not self.finish_asked:
            self.finish_asked = True
            process.send_signal(signal.SIGUSR1)

    def _send_away(self, process: subprocess.Popen[str], why: str) -> None:
        """Ask the child to save and go; if it does not, or cannot hear yet, end it."""
        now = time.monotonic()
        if self.why != why:
            self.why, self.asked_at = why, now
            if self.record.heard and why != "stall":
                process.send_signal(signal.SIGTERM)
                return
            child.kill(process)
        elif now - self.asked_at > GRACE_SECONDS.get(why, GRACE):
            child.kill(process)

    def _settle(self, status: int, *, out_of_memory: bool) -> None:
        """The child has ended. What does that make of the fine-tune?"""
        finetune, record = self.finetune, self.record
        self._read_log()
        record.write()
        if record.done and is_whole(finetune.run_dir / record.done["path"], record.done["sha256"]):
            record.finish()
        elif self.why == "cancel":
            message = "Cancelled. Its checkpoints are kept, its adapter was not made."
            finetune.finish(State.CANCELLED, cause=Cause.CANCELLED, message=message, status_line="", eta_seconds=None)
        elif self.why == "pause":
            finetune.write(state=State.PAUSED, lease_until=None, worker="", status_line="", eta_seconds=None)
        elif self.why in ("shutdown", "database"):
            record.note("The training worker was stopped. The run goes on from its last checkpoint when one is back.")
            record.write()
            finetune.release(counted=False, status_line="", eta_seconds=None)
        elif record.error:
            record.note(record.error.get("detail", ""), kind="log", level="error")
            self._fail(record.error["cause"], record.error["message"])
        elif out_of_memory:
            self._fail(Cause.OOM, "The machine ran out of memory and ended the trainer. " + SMALLER)
        else:
            self._died(status)

    def _died(self, status: int) -> None:
        """It ended without a word: once more from the last checkpoint, unless it keeps doing that in the same place."""
        finetune = self.finetune
        cause, how = Cause.ERROR, f"ended unexpectedly with status {status}"
        if self.why == "stall":
            cause, how = Cause.STALLED, f"showed no progress for {STALL_SECONDS / 60:.0f} minutes"
        elif status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
        if finetune.attempts >= FineTune.MAX_ATTEMPTS:
            times = f"The trainer {how}, {finetune.attempts} times without getting further. "
            self._fail(cause, times + ("" if status == -signal.SIGKILL else "The log has the details. ") + SMALLER)
            return
        self.record.note(f"The trainer {how}. The run goes on from its last checkpoint.", level="warn")
        self.record.write()
        finetune.release(counted=True, status_line="", eta_seconds=None)
        bell.ring("train")

    def _fail(self, cause: str, message: str) -> None:
        self.record.note(message, level="error")
        self.record.write()
        self.finetune.finish(State.FAILED, cause=cause, message=message, status_line="", eta_seconds=None)

    def _read_log(self) -> None:
        """What the child's libraries printed, for the log tail."""
        lines, self.log_read = child.new_lines(self.log_path, self.log_read)
        for line in lines:
            self.record.note(line, kind="log")

    def _when_possible(self, write: Callable[[], None]) -> None:
        """Hold on to a result while the database is away."""
        deadline = time.monotonic() + DATABASE_SECONDS
        while True:
            try:
                return write()
            except Error as error:
                log.warning("The database is away (%s); the result of %s waits.", error, self.finetune.pk)
                connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _tell(self) -> None:
        notices.changed(self.finetune.team_id, "run", self.finetune.pk, self.finetune.step)


SMALLER = "Try a smaller batch or a shorter maximum length, or turn on gradient checkpointing."
