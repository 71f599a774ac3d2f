"""A trainer as a child process: in a group of its own, polite to others. It does not know what the child says."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

from django.conf import settings

PASSED_ON = re.compile(
    r"PATH|HOME|LANG|LC_.*|TZ|TMPDIR|LD_LIBRARY_PATH|PYTHON.*|VIRTUAL_ENV|C[CX]X?|(OMP|MKL|CUDA|NVIDIA|NCCL|TORCH).*"
)
MOST_LINES = 200  # of library output that are kept for people
MOST_BYTES = 64 * 1024


def spawn(command: list[str], *, log: Path) -> subprocess.Popen[str]:
    """Start a child that prints events on stdout; what its libraries print goes to the log file."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            cwd=settings.BASE_DIR,
            env={name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)},  # no secrets of ours
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a group of its own, so that all of it can be ended
        )
    os.setpriority(os.PRIO_PROCESS, process.pid, settings.STUDIO_TRAIN_NICE)
    # A session is scheduled as one where the kernel groups by session; and when memory is short, a run can be resumed.
    for name, value in (("autogroup", settings.STUDIO_TRAIN_NICE), ("oom_score_adj", 500)):
        try:
            Path(f"/proc/{process.pid}/{name}").write_text(str(value))
        except OSError:
            continue  # not every kernel has these, and not every container may write them
    return process


def kill(process: subprocess.Popen[str]) -> None:
    """End the child's whole group at once, and see it gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def oom_kills() -> int:
    """How often this machine's kernel has ended a process for want of memory."""
    found = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def new_lines(log: Path, position: int) -> tuple[list[str], int]:
    """Whole lines of the log file after `position`, and the position after them. A log that floods is cut short."""
    if position >= MOST_BYTES or not log.exists():
        return [], position
    with log.open("rb") as stream:
        stream.seek(position)
        text = stream.read(MOST_BYTES - position)
    whole = text[: text.rfind(b"\n") + 1]
    lines = [line for line in whole.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[:MOST_LINES], position + len(whole)
