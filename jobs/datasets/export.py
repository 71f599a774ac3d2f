"""Rows as JSONL: for the trainer's run directory and for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from jobs.models import Dataset, Row

AT_ONCE = 500


def json_lines(dataset: Dataset, splits: Sequence[str], *, with_split: bool) -> Iterator[bytes]:
    """The rows of these splits in order, some hundred to a piece, read from the database as they are asked for."""
    after = -1
    while True:
        following = Row.objects.filter(dataset=dataset, split__in=splits, position__gt=after).order_by("position")
        rows = list(following.values_list("position", "split", "messages")[:AT_ONCE])
        if not rows:
            return
        yield b"".join(_line(messages, split if with_split else "") for _, split, messages in rows)
        after = rows[-1][0]


def write_rows(dataset: Dataset, splits: Sequence[str], path: Path) -> str:
    """Write `{"messages": [...]}` lines and return the file's SHA-256. The same rows always make the same bytes."""
    digest = hashlib.sha256()
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        for piece in json_lines(dataset, splits, with_split=False):
            digest.update(piece)
            file.write(piece)
    partial.replace(path)
    return digest.hexdigest()


def _line(stored: list[dict[str, str]], split: str) -> bytes:
    messages = [{"role": message["role"], "content": message["content"]} for message in stored]
    value = {"messages": messages, "split": split} if split else {"messages": messages}
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
