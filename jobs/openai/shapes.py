"""What all of OpenAI's objects share: ids, times, lists with cursors, and text that a database can keep."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from django.db import models
from django.db.models import Q
from pydantic import AfterValidator

from llmstudio.openai_errors import Refused

M = TypeVar("M", bound=models.Model)


def storable(text: str) -> str:
    """JSON can carry characters that PostgreSQL cannot keep."""
    if "\x00" in text:
        raise ValueError("Text may not contain the character U+0000.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("Text may not contain half a surrogate pair.") from None
    return text


Text = Annotated[str, AfterValidator(storable)]


def seconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None


def named(rows: models.QuerySet[M], prefix: str, name: str, *, what: str, param: str | None = None) -> M:
    """The row that `prefix` + its id in hex names, or OpenAI's 404. Another team's row was never in `rows`."""
    missing = Refused(404, f"No such {what}: {name[:100]}", param=param, code="not_found")
    if not name.startswith(prefix):
        raise missing
    try:
        key = uuid.UUID(hex=name.removeprefix(prefix))
    except ValueError:
        raise missing from None
    row = rows.filter(pk=key).first()
    if row is None:
        raise missing
    return row


def page(
    rows: models.QuerySet[M],
    by: str,
    *,
    after: M | None,
    limit: int,
    show: Callable[[M], dict[str, Any]],
    newest_first: bool = True,
) -> dict[str, Any]:
    """A list object: `limit` rows in the order of `by`, behind the row `after`. The next page follows its last id."""
    direction, sign = ("lt", "-") if newest_first else ("gt", "")
    if after is not None:
        value = getattr(after, by)
        rows = rows.filter(Q(**{f"{by}__{direction}": value}) | Q(**{by: value, f"pk__{direction}": after.pk}))
    found = list(rows.order_by(f"{sign}{by}", f"{sign}pk")[: limit + 1])
    data = [show(row) for row in found[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }
