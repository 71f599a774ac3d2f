"""What stops a start, and what it says: each sentence names the cause and the way out."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from llmstudio import supervisor_checks as checks
from llmstudio.supervisor_child import ROOT, Trouble
from tests.stack import free_port


def run(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m llmstudio run`, which must give up before it starts anything."""
    return subprocess.run(
        [sys.executable, "-m", "llmstudio", "run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env=os.environ | {"STUDIO_HOME": str(home), "PORT": str(free_port())} | environment,
    )


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run(tmp_path, PORT=str(port))
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stdout and f"PORT={port + 1}" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_port_that_is_no_number(tmp_path: Path) -> None:
    done = run(tmp_path, PORT="eight thousand")
    assert done.returncode == 1 and "PORT must be a number" in done.stdout


def test_a_number_of_web_processes_that_is_none(tmp_path: Path) -> None:
    done = run(tmp_path, WEB_PROCESSES="all")
    assert done.returncode == 1 and "WEB_PROCESSES must be a number" in done.stdout


def test_a_second_studio_on_the_same_data_folder(tmp_path: Path) -> None:
    with checks.only_one(tmp_path):
        done = run(tmp_path)
    assert done.returncode == 1
    assert f"already runs on {tmp_path} (process {os.getpid()})" in done.stdout


def test_a_data_folder_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("7\n")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "another version" in done.stdout and "data version is 7" in done.stdout and "STUDIO_HOME" in done.stdout


def test_a_database_of_another_postgres(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("15\n")
    done = run(tmp_path)
    assert done.returncode == 1 and "written by PostgreSQL 15" in done.stdout and "pg_dump" in done.stdout


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path / "file" / "home")
    assert done.returncode == 1 and "file/home cannot be used" in done.stdout and "STUDIO_HOME" in done.stdout


def test_an_address_that_is_not_this_machine_s(tmp_path: Path) -> None:
    done = run(tmp_path, STUDIO_BIND="192.0.2.1")
    assert done.returncode == 1 and "cannot listen on 192.0.2.1" in done.stdout and "STUDIO_BIND" in done.stdout


def test_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - 10**9, 10**9))
    with pytest.raises(Trouble, match=r"1\.0 GB left and needs 2\.0 GB"):
        checks.room(tmp_path, first=True)
    checks.room(tmp_path, first=False)


def test_the_supervisor_stays_small() -> None:
    """It outlives everything else, so it imports neither Django nor anything heavy."""
    heavy = "[name for name in ('django', 'celery', 'torch', 'redis') if name in sys.modules]"
    code = f"import sys, llmstudio.supervisor; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
