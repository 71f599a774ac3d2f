"""Moments are read from PostgreSQL by CPython's own parser: 0.4 µs each, where psycopg's loader and Django's around it take
3.6. A chat's page reads 150 of them, and the list of prompts as many: a twentieth of their time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db.backends.postgresql.psycopg_any import BaseTzLoader, get_adapters_template


class MomentLoader(BaseTzLoader):  # type: ignore[misc]  # the stubs know psycopg 2
    """Connections speak UTC, as Django sets them up; what the parser does not know goes the long way."""

    timezone = UTC

    def load(self, data: Any) -> datetime:
        try:
            return datetime.fromisoformat(str(data, "ascii"))
        except ValueError:
            found: datetime = super().load(data)
            return found


def read_fast() -> None:
    """For all connections that are opened from now on."""
    get_adapters_template(True, UTC).register_loader("timestamptz", MomentLoader)
