"""pytest plugin: one real PostgreSQL and one real Valkey for the run, in a fresh data folder, before settings are read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(tempfile.mkdtemp(prefix="studio-tests-"))
os.environ["STUDIO_HOME"] = str(HOME)
for name in ("DATABASE_URL", "REDIS_URL", "STUDIO_URL"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def services() -> Iterator[Path]:
    from llmstudio.embedded import Postgres, Valkey

    postgres, valkey = Postgres(HOME, options=("fsync=off", "full_page_writes=off")), Valkey(HOME)
    try:
        postgres.start()
        valkey.start()
        yield HOME
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(HOME, ignore_errors=True)
        from llmstudio.embedded import socket_dir
        shutil.rmtree(socket_dir(HOME), ignore_errors=True)
