"""pytest plugin: a real PostgreSQL and a real Valkey for the run, in a fresh data folder, before settings are read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmstudio.embedded import Postgres, Valkey, socket_dir

HOME = Path(tempfile.mkdtemp(prefix="studio-tests-")).resolve()
for name in list(os.environ):  # what a developer has set for `make run` is not for the tests
    if name in ("DATABASE_URL", "REDIS_URL", "PORT") or (name.startswith("STUDIO_") and name != "STUDIO_TEST_MODELS"):
        del os.environ[name]
os.environ["STUDIO_HOME"] = str(HOME)


@pytest.fixture(scope="session", autouse=True)
def services() -> Iterator[Path]:
    """Both end with this process however it ends; the data is thrown away, so nothing waits for the disk."""
    postgres, valkey = Postgres(HOME, options=("fsync=off", "full_page_writes=off")), Valkey(HOME)
    try:
        postgres.start()
        valkey.start()
        yield HOME
    finally:
        valkey.stop()
        postgres.stop()


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
    shutil.rmtree(socket_dir(HOME), ignore_errors=True)
