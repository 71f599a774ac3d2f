"""The whole product, running as `make run` runs it, for tests from the outside: browser, OpenAI client, faults.

Each has its own data folder, database and port; tests talk to it over HTTP and websocket only. The fixture `studio`
(tests/conftest.py) is one for a whole session.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobs.ml import base_model

ROOT = Path(__file__).resolve().parent.parent
OWNER = "alice@example.com"
PASSWORD = "correct horse battery"
READY_SECONDS = 120  # a first start initialises a database; generous, because CI shares its cores


def prepared_models() -> Path:
    """The folder with the prepared base model; made on first use, kept between runs."""
    models = Path(os.environ.get("STUDIO_TEST_MODELS") or ROOT / "var" / "models")
    base = models / "smollm2-135m-instruct"
    try:
        base_model.check(base)
    except base_model.ModelMissing:
        models.mkdir(parents=True, exist_ok=True)
        with (models / ".preparing").open("w") as one_at_a_time:  # the second finds it done
            fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
            subprocess.run([sys.executable, "-m", "jobs.ml", "prepare", str(base)], cwd=ROOT, check=True)
    return models


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stack:
    home: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.home / "supervisor.out").read_text(errors="replace")

    def start(self) -> None:
        out = (self.home / "supervisor.out").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmstudio", "run"],
            cwd=ROOT,
            env=self.env,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + READY_SECONDS
        while not re.search(r"^ready\b", self.log, re.M):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"The studio did not start:\n{self.log[-4000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def manage(self, *args: str) -> str:
        """Run a management command beside the running stack and return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *args], cwd=ROOT, env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def api_key(self, email: str = OWNER) -> str:
        return self.manage("create_api_key", "--email", email)


@contextmanager
def running() -> Iterator[Stack]:
    """A studio in a fresh data folder, ready; stopped and removed at the end."""
    # Not below pytest's own folder: every run of pytest closes that to other accounts, and as root the database is one.
    home = Path(tempfile.mkdtemp(prefix="studio-test-")).resolve()
    port = free_port()
    (home / "models").symlink_to(prepared_models())
    env = {
        k: v
        for k, v in os.environ.items()
        if k not in {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "STUDIO_URL"}
    }
    env |= {"STUDIO_HOME": str(home), "PORT": str(port), "STUDIO_ADMIN_EMAIL": OWNER, "STUDIO_ADMIN_PASSWORD": PASSWORD}
    stack = Stack(home, port, env)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)
