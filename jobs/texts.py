"""Texts as they are kept. Plain functions on strings; they know nothing of where a text comes from or goes."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot keep: NUL, and halves of characters."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode()


def typed(text: str) -> str:
    """What a person typed, as it is stored: browsers end lines in their own way."""
    return storable(text.replace("\r\n", "\n"))
