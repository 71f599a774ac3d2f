"""What readers of a reply are told, and how an entry of its log is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.exceptions import RedisError

SAID = "studio:said"  # the channel on which every entry is also told as it is written

Entry = tuple[int, int, str]  # fence, number, piece; the number 0 says "look at the row"

AWAY = (RedisError, OSError)  # what a Redis that does not answer raises


@dataclass(frozen=True)
class Snapshot:
    """The whole text up to and including entry `sequence_number`."""

    sequence_number: int
    text: str


@dataclass(frozen=True)
class Piece:
    sequence_number: int
    delta: str


@dataclass(frozen=True)
class Done:
    """The end. The whole text has this SHA-256; for a failure, `message` says what to do."""

    generation_id: UUID
    state: str
    cause: str
    message: str
    finish_reason: str
    text_sha256: str
    prompt_tokens: int
    completion_tokens: int


Event = Snapshot | Piece | Done


def key_of(generation_id: UUID) -> str:
    return f"studio:gen:{generation_id}"


def parse(entries: Any) -> list[tuple[int, str]]:
    """(number, piece) of each entry of a log; the end is (0, "")."""
    return [
        (0, "") if "end" in fields else (int(entry_id.partition("-")[2]), fields["d"]) for entry_id, fields in entries
    ]


def told(entries: Sequence[tuple[UUID, Entry]]) -> str:
    """What is said on the channel: the entries of one exchange, each with the id of its reply."""
    return json.dumps([(generation_id.hex, *entry) for generation_id, entry in entries], separators=(",", ":"))


def heard(message: str) -> Iterator[tuple[UUID, Entry]]:
    for generation_id, fence, number, piece in json.loads(message):
        yield UUID(generation_id), (fence, number, piece)
