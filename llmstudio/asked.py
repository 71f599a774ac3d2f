"""What an address or a form says, made safe to use: texts that can be stored, numbers, ids.

Nobody need have typed it: anything can be sent to any door, and no door may break on it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, QueryDict


def keep_storable(request: Any) -> None:
    """What came in an address or a form, without U+0000: PostgreSQL keeps it nowhere, and nobody has typed it."""
    for name in ("GET", "POST"):
        sent = getattr(request, name)
        if any("\x00" in text for key, values in sent.lists() for text in (key, *values)):
            kept = QueryDict(mutable=True, encoding=sent.encoding)
            for key, values in sent.lists():
                kept.setlist(key.replace("\x00", ""), [text.replace("\x00", "") for text in values])
            kept._mutable = False
            setattr(request, name, kept)


def number_in(text: str | None, *, digits: int = 9) -> int | None:
    """A whole number without a sign, or None for anything else. Nine digits fit an integer column, 18 a big one."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def key_in(text: str | None) -> UUID | None:
    """The id of an object, or None for anything else."""
    try:
        return UUID(text or "")
    except ValueError:
        return None


def key_or_404(text: str | None) -> UUID:
    """What is no id is the id of nothing."""
    key = key_in(text)
    if key is None:
        raise Http404
    return key
