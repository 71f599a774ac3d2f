"""What can be known before anything starts: each function returns, or raises Trouble with what to do."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from pathlib import Path
from typing import IO

from llmstudio.embedded import Postgres
from llmstudio.supervisor_child import Trouble

DATA_VERSION = "1"  # of the data folder's layout
FIRST_BYTES = 2 * 10**9  # free disk for a first start, which unpacks the model
LATER_BYTES = 3 * 10**8
MAKE_ROOM = "Free some space, or set STUDIO_HOME to a folder with room."


def port(text: str) -> int:
    if text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise Trouble(f"PORT must be a number from 1 to 65535, not {text!r}.")


def web_processes(text: str) -> int:
    if text.isdigit() and 0 < int(text) <= 64:
        return int(text)
    raise Trouble(f"WEB_PROCESSES must be a number from 1 to 64, not {text!r}.")


def data_folder(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
        probe = home / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Trouble(refused(error)) from error


def refused(error: OSError) -> str:
    """What the operating system would not do, and the way out."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full: {error.filename or 'a file'} cannot be written. {MAKE_ROOM}"
    return (
        f"{error.filename or 'A process'} cannot be used ({error.strerror}). "
        "If it is in the data folder, set STUDIO_HOME to a folder you may write."
    )


def only_one(home: Path) -> IO[str]:
    """One studio per data folder: a lock that the kernel drops with this process, however it ends. Keep it open."""
    lock = (home / ".lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise Trouble(
            f"A studio already runs on {home} (process {owner}). Stop it, or set STUDIO_HOME and PORT for a second one."
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def data_version(home: Path) -> None:
    path = home / "version"
    found = path.read_text().strip() if path.exists() else ""
    if not found:
        path.write_text(DATA_VERSION + "\n")
    elif found != DATA_VERSION:
        raise Trouble(
            f"{home} was written by another version of LLM Studio (its data version is {found}, this program reads "
            f"{DATA_VERSION}). Run the version that wrote it, or set STUDIO_HOME to a new folder."
        )


def postgres_version(home: Path) -> None:
    path = home / "postgres" / "PG_VERSION"
    found = path.read_text().strip() if path.exists() else Postgres.MAJOR
    if found != Postgres.MAJOR:
        raise Trouble(
            f"The database in {path.parent} was written by PostgreSQL {found}, this program brings {Postgres.MAJOR}. "
            "Dump it with the version that wrote it (pg_dump) and restore it here, or set STUDIO_HOME to a new folder."
        )


def room(home: Path, *, first: bool) -> None:
    free, needed = shutil.disk_usage(home).free, FIRST_BYTES if first else LATER_BYTES
    if free < needed:
        raise Trouble(
            f"The disk is nearly full: {home} has {free / 1e9:.1f} GB left and needs {needed / 1e9:.1f} GB. {MAKE_ROOM}"
        )


def port_free(host: str, number: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will: leftovers do not count
        try:
            probe.bind((host, number))
        except PermissionError as error:
            raise Trouble(f"Port {number} may only be used by root. Choose one above 1023: PORT=8000") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Trouble(
                    f"Port {number} is taken by another program. Stop it, or choose another port: "
                    f"PORT={number + 1 if number < 65535 else 8000}"
                ) from error
            raise Trouble(
                f"The studio cannot listen on {host}: {error.strerror}. Set STUDIO_BIND to an address of this machine."
            ) from error
