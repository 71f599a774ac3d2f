"""`python -m llmstudio run` under attack: no orphan is left, what dies comes back, and the next start always works."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmstudio import supervisor_child
from llmstudio.supervisor_child import Child, Trouble
from tests.processes import data_folder, eventually, using
from tests.stack import OWNER, PASSWORD, Stack, free_port, prepared_models


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A studio of its own, that these tests may break, in the order of this file."""
    with data_folder() as home:
        (home / "models").symlink_to(prepared_models())
        env = os.environ | {"STUDIO_ADMIN_EMAIL": OWNER, "STUDIO_ADMIN_PASSWORD": PASSWORD}
        stack = Stack(home, free_port(), env)
        env |= {"STUDIO_HOME": str(home), "PORT": str(stack.port)}
        stack.start()
        yield stack
        stack.stop()


def ready(stack: Stack) -> bool:
    try:
        with urllib.request.urlopen(f"{stack.url}/readyz", timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


def process(stack: Stack, words: str) -> int | None:
    """The process of the stack whose command has these words."""
    return next((pid for pid, command in using(stack.home).items() if words in command), None)


def test_the_ready_line_has_the_address(stack: Stack) -> None:
    assert len(re.findall(rf"^ready  {stack.url}  \(\d+\.\d s\)$", stack.log, re.M)) == 1


WEB, INFER, VALKEY, POSTGRES = "llmstudio.asgi", "-Q infer", "valkey-server", "bin/postgres -D"


@pytest.mark.parametrize("victim", [WEB, INFER, VALKEY, POSTGRES])
def test_a_killed_process_comes_back(stack: Stack, victim: str) -> None:
    before = process(stack, victim)
    assert before, stack.log[-2000:]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: process(stack, victim) not in (None, before), f"{victim} runs again")
    eventually(lambda: ready(stack), "the studio is ready again")


def test_a_killed_supervisor_leaves_nothing_behind_and_the_next_start_works(stack: Stack) -> None:
    assert stack.process is not None
    stack.process.kill()
    stack.process.wait()
    stack.start()  # at once: it waits for the database to save its data, and for nothing else
    assert ready(stack)
    assert sum(WEB in command for command in using(stack.home).values()) == 1
    eventually(lambda: sum(POSTGRES in command for command in using(stack.home).values()) == 1, "one database runs")


def test_it_stops_in_good_order(stack: Stack) -> None:
    assert stack.process is not None
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(40) == 0
    assert using(stack.home) == {}
    log = (stack.home / "logs" / "postgres.log").read_text()
    assert log.rstrip().endswith("database system is shut down")


def test_ctrl_c_while_it_starts(stack: Stack) -> None:
    stack.stop()
    again = subprocess.Popen([sys.executable, "-m", "llmstudio", "run"], cwd=supervisor_child.ROOT, env=stack.env)
    eventually(lambda: process(stack, VALKEY), "the start is half done")
    again.send_signal(signal.SIGINT)
    assert again.wait(40) == 0
    assert using(stack.home) == {}


def test_a_killed_parent_takes_the_studio_along(stack: Stack) -> None:
    """`make run` passes --with-parent: whoever kills make does not leave a studio without a terminal."""
    stack.stop()
    code = f"import subprocess, sys; subprocess.run([{sys.executable!r}, '-m', 'llmstudio', 'run', '--with-parent'])"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=supervisor_child.ROOT, env=stack.env)
    eventually(lambda: process(stack, VALKEY), "the start is half done")
    parent.kill()
    parent.wait()
    eventually(lambda: not using(stack.home), "everything has ended")


def test_what_keeps_dying_is_named_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_child, "PAUSE", 0.001)
    child = Child("infer", [sys.executable, "-c", "raise SystemExit('there is no such model')"], os.environ, tmp_path)
    child.start()
    deadline = time.monotonic() + 20
    with pytest.raises(Trouble, match=r"(?s)infer keeps dying \(5 times within 60 s\).*infer\.log.*no such model"):
        while time.monotonic() < deadline:
            child.watch()
    assert (tmp_path / "infer.log").read_text().count("there is no such model") == 5


def test_a_log_file_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_child, "LOG_BYTES", 1000)
    child = Child("web", [sys.executable, "-c", "print('a line of words\\n' * 500)"], os.environ, tmp_path)
    child.start()
    child.stop_by(time.monotonic() + 20)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2100
