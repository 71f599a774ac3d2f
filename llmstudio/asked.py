"""What an address or a form says, made safe to use: texts that can be stored, numbers, ids.

Nobody need have typed it: anything can be sent to any door, and no door may break on it.
"""

from __future__ import annotations

from typing import Any

from django.http import QueryDict


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
