"""Looking at processes from outside: which use a data folder, and waiting for a condition."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmstudio.embedded import socket_dir


def using(home: Path) -> dict[int, str]:
    """Processes (but this one) started for this data folder: {pid: command}."""
    found = {}
    marks = (f"{home}/", f"{socket_dir(home)}/")  # valkey writes its title over its environment
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has just ended
            continue
        if state != "Z" and (f"STUDIO_HOME={home}".encode() in environment or any(mark in command for mark in marks)):
            found[int(folder.name)] = command
    return found


@contextmanager
def data_folder() -> Iterator[Path]:
    """A fresh STUDIO_HOME; what still runs on it at the end is killed.

    Not below pytest's own folder: every run of pytest closes that to other accounts, and as root the database is one.
    """
    home = Path(tempfile.mkdtemp(prefix="studio-test-")).resolve()
    try:
        yield home
    finally:
        for pid in using(home):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not using(home), f"everything on {home} has ended")
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(socket_dir(home), ignore_errors=True)


def eventually(true: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Wait for a condition; fail by its name."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"Not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
