"""`make` on a machine that lacks something: a sentence that says what, before anything is half installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmstudio.supervisor_child import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone, as far as make looks at it."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def environment_of(clone: Path) -> None:
    """A virtual environment that is there already: this one."""
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)


def make(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=clone, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_python_is_too_old(clone: Path) -> None:
    old = clone / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2 && exit\nexit 1\n')
    old.chmod(0o755)
    done = make(clone, "run", f"PYTHON={old}")
    assert done.returncode and "needs Python 3.11 or newer" in done.stdout and "Python 3.9.2" in done.stdout
    assert not (clone / ".venv").exists()


def test_there_is_no_python(clone: Path) -> None:
    done = make(clone, "run", "PYTHON=")
    assert done.returncode and "No Python was found" in done.stdout


def test_a_package_cannot_be_had(clone: Path) -> None:
    environment_of(clone)
    with (clone / "requirements" / "worker.txt").open("a") as lock:
        lock.write("no-such-package-anywhere==1.0\n")
    done = make(clone, "run", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(clone), PIP_CONFIG_FILE=os.devnull)
    assert done.returncode and "A package could not be installed" in done.stdout and "PIP_FIND_LINKS" in done.stdout
    assert not (clone / ".venv" / "installed").exists()


def test_nothing_is_done_twice(clone: Path) -> None:
    environment_of(clone)
    (clone / ".venv" / "installed").touch()
    assert "pip" not in make(clone, "--dry-run", "run").stdout
