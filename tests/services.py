"""pytest plugin: a real PostgreSQL and a real Valkey for the run, in a fresh data folder, before settings are read.

Every process of `pytest -n 2` has its own pair, and its share of the cores: threads that outnumber the cores and wait
for each other by spinning make everybody slow.
"""

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

BESIDE = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))  # processes that test at the same time
THREADS = max(1, len(os.sched_getaffinity(0)) // BESIDE)
if BESIDE > 1:
    os.environ |= {"OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}
    os.environ |= {"STUDIO_INFER_THREADS": str(THREADS), "STUDIO_TRAIN_THREADS": str(THREADS)}


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
