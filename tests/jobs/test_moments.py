"""Moments come from the database exactly as Django reads them, by a shorter way."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import BaseTzLoader

from jobs.moments import MomentLoader

MOMENTS = [
    "2026-11-25 20:26:16.612971", "2026-11-25 20:26:16.6", "2026-11-25 20:26:16", "0001-01-01 00:00:00",
    "9999-12-31 23:59:59.999999",
]  # fmt: skip


class Django(BaseTzLoader):
    timezone = UTC


@pytest.mark.django_db
@pytest.mark.parametrize("text", MOMENTS)
def test_a_moment_is_what_the_database_holds(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::timestamptz", [f"{text}+00"])
        found = cursor.fetchone()[0]
        assert isinstance(cursor.connection.adapters.get_loader(1184, 0)(1184), MomentLoader)
    assert found == datetime.fromisoformat(text).replace(tzinfo=UTC) and found.tzinfo is UTC
    assert found == Django(1184).load(f"{text}+00".encode())


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["infinity", "4000-01-01 BC", "20000-01-01"])
def test_what_python_cannot_hold_is_refused_as_before(text: str) -> None:
    with connection.cursor() as cursor, pytest.raises(Exception, match="timestamp"):
        cursor.execute("SELECT %s::timestamptz", [text])
        cursor.fetchone()
