"""Several web processes share one port, and none of them outlives the first."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from llmstudio.supervisor import web_command
from tests.stack import ROOT, free_port


def children(pid: int) -> list[int]:
    """The web processes that process `pid` has started."""
    found = []
    for one in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (one / "children").read_text().split()]
    return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def until(holds: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_two_web_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    port = free_port()
    env = {**os.environ, "STUDIO_HOME": str(tmp_path), "DEBUG": "1"}
    first = subprocess.Popen(web_command("127.0.0.1", port, 2), cwd=ROOT, env=env)
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
        both = children(first.pid)
        assert len(both) == 2
    finally:
        first.send_signal(signal.SIGKILL)  # as the kernel does when memory runs out
        first.wait()
    until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in both), 10)
