"""Differences for people to read: word by word between two texts, item by item between two lists. It knows nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Literal, TypeVar

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
MOST_WORDS = 4000  # compared word by word at once
MOST_WORK = 16_000_000  # lines or words of one text times those of the other


@dataclass(frozen=True)
class Piece:
    """A run of text: in both, only in the new one (`added`), or only in the old one (`removed`)."""

    kind: Literal["same", "added", "removed"]
    text: str


def word_diff(old: str, new: str) -> list[Piece]:
    """How `old` became `new`. Lines first, then words inside the lines that differ, so that long texts stay quick."""
    pieces: list[Piece] = []
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    for same, a, b in _blocks(before, after):
        left, right = "".join(a), "".join(b)
        if same:
            pieces.append(Piece("same", left))
        else:
            pieces += _words(left, right)
    return _joined(pieces)


def _words(old: str, new: str) -> Iterator[Piece]:
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    if max(len(a), len(b)) > MOST_WORDS:
        yield from (Piece("removed", old), Piece("added", new))
        return
    for same, left, right in _blocks(a, b):
        if same:
            yield Piece("same", "".join(left))
        else:
            yield Piece("removed", "".join(left))
            yield Piece("added", "".join(right))


def _blocks(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[bool, Sequence[str], Sequence[str]]]:
    """Runs of both that are equal, and those that differ. What both begin and end with is set aside first: the matcher's
    work grows with the product of what is left, and what is too much for it differs as a whole."""
    head = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    rest = min(len(a), len(b)) - head
    backwards = zip(a[::-1], b[::-1], strict=False)
    tail = min(rest, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], backwards)))
    left, right = a[head : len(a) - tail], b[head : len(b) - tail]
    if head:
        yield True, a[:head], b[:head]
    if len(left) * len(right) > MOST_WORK:
        yield False, left, right
    else:
        # Among many words those that are everywhere, such as the spaces, are no ground to line texts up by (autojunk), and
        # doing so would take minutes where a paragraph was written anew.
        for kind, i, j, k, m in SequenceMatcher(None, left, right).get_opcodes():
            yield kind == "equal", left[i:j], right[k:m]
    if tail:
        yield True, a[len(a) - tail :], b[len(b) - tail :]


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one kind as one piece; empty ones left out."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].kind == piece.kind:
            joined[-1] = Piece(piece.kind, joined[-1].text + piece.text)
        elif piece.text:
            joined.append(piece)
    return joined


T = TypeVar("T")


def aligned(old: Sequence[T], new: Sequence[T], *, alike: Callable[[T, T], bool]) -> list[tuple[T | None, T | None]]:
    """The items of two lists beside each other: equal ones, then `alike` ones that stand between the same equal ones.
    What has no partner stands alone."""
    pairs: list[tuple[T | None, T | None]] = []
    keys = [repr(item) for item in old], [repr(item) for item in new]
    for kind, i, j, k, m in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if kind == "equal":
            pairs += zip(old[i:j], new[k:m], strict=True)
            continue
        left = list(new[k:m])
        for item in old[i:j]:
            partner = next((at for at, other in enumerate(left) if alike(item, other)), None)
            if partner is None:
                pairs.append((item, None))
                continue
            pairs += [(None, other) for other in left[:partner]]
            pairs.append((item, left[partner]))
            left = left[partner + 1 :]
        pairs += [(None, other) for other in left]
    return pairs
