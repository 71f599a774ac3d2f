"""The embedded services: ready when start() returns, gone with their parent, started again over whatever was left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from llmstudio.embedded import Postgres, ServiceError, Valkey, database_url, redis_url, socket_dir
from tests.processes import data_folder

QUICK = ("fsync=off",)


@pytest.fixture
def home() -> Iterator[Path]:
    with data_folder() as home:
        yield home


def ask(home: Path, question: str) -> object:
    with psycopg.connect(database_url(home).replace("postgres://", "postgresql://")) as connection:
        found = connection.execute(question)
        return found.fetchone()[0] if found.description else None


def orphaned(home: Path, service: str) -> int:
    """Start a service from another process, kill that process without warning, and return the service's pid."""
    code = (
        "import sys, os, signal; from pathlib import Path; from llmstudio import embedded;"
        f"s = embedded.{service}(Path({str(home)!r})); s.start(); print(s.process.pid, flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return int(done.stdout)


def test_postgres_keeps_its_data_and_knows_all_of_unicode(home: Path) -> None:
    first = Postgres(home, options=QUICK)
    first.start()
    assert ask(home, "SELECT lower('ÄÉΩ')") == "äéω"
    ask(home, "CREATE TABLE kept (answer int)")
    ask(home, "INSERT INTO kept VALUES (42)")
    first.stop()

    again = Postgres(home)
    again.start()
    assert ask(home, "SELECT answer FROM kept") == 42
    again.stop()


def test_services_end_with_a_killed_parent_and_start_again_at_once(home: Path) -> None:
    orphaned(home, "Postgres")
    postgres = Postgres(home)
    postgres.start()  # waits until the one before has saved its data
    assert ask(home, "SELECT 1") == 1
    postgres.stop()

    orphaned(home, "Valkey")
    valkey = Valkey(home)
    valkey.start()
    assert redis.Redis.from_url(redis_url(home)).ping()
    valkey.stop()


def test_postgres_starts_over_a_stale_pid_file_that_names_a_living_process(home: Path) -> None:
    postgres = Postgres(home, options=QUICK)
    postgres.start()
    postgres.stop()
    (home / "postgres" / "postmaster.pid").write_text(f"{os.getppid()}\n{home / 'postgres'}\n1\n5432\n\n\n\nready\n")
    postgres.start()
    assert ask(home, "SELECT 1") == 1
    postgres.stop()


def test_a_first_start_that_was_killed_half_way_leaves_nothing_in_the_way(home: Path) -> None:
    (home / "postgres.new").mkdir()
    (home / "postgres.new" / "PG_VERSION").write_text("18\n")
    postgres = Postgres(home, options=QUICK)
    postgres.start()
    assert ask(home, "SELECT 1") == 1
    postgres.stop()


def test_a_deep_data_folder_still_has_a_short_socket_path(home: Path) -> None:
    deep = home.joinpath(*["a-folder-with-a-long-name"] * 6)
    valkey = Valkey(deep)
    valkey.start()
    assert redis.Redis.from_url(redis_url(deep)).ping()
    valkey.stop()
    assert len(str(socket_dir(deep) / ".s.PGSQL.5432.lock")) <= 107


def test_only_this_account_reaches_the_sockets(home: Path) -> None:
    valkey = Valkey(home)
    valkey.start()
    assert not socket_dir(home).stat().st_mode & 0o007
    valkey.stop()


def test_a_service_that_cannot_start_says_where_its_log_is(home: Path) -> None:
    (home / "valkey" / "appendonlydir").mkdir(parents=True)
    (home / "valkey" / "appendonlydir" / "appendonly.aof.manifest").write_text("this is no manifest\n")
    with pytest.raises(ServiceError, match=r"valkey did not start.*remove .*valkey\.log"):
        Valkey(home).start()
