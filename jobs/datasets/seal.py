"""The seal of a data set: a SHA-256 over its rows in order, and then over their splits.

In this order, because an import knows the splits only when it has seen every row.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from jobs.datasets.rows import Message, written
from jobs.models import Split


class Seal:
    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, lines: Iterable[str]) -> None:
        """The next rows, each as `written`."""
        self._digest.update("".join(f"{line}\n" for line in lines).encode())

    def close(self, splits: Iterable[str]) -> str:
        """The seal, once every row was added."""
        self._digest.update("\n".join(splits).encode())
        return self._digest.hexdigest()


def sealed(rows: Sequence[tuple[str, list[Message]]]) -> tuple[str, dict[str, int]]:
    """Seal and counts of rows that are all at hand, as (split, messages)."""
    seal = Seal()
    seal.add(written(messages) for _, messages in rows)
    return seal.close(split for split, _ in rows), counted(split for split, _ in rows)


def counted(splits: Iterable[str]) -> dict[str, int]:
    """Split -> rows, every split named."""
    counts = Counter(splits)
    return {split: counts[split] for split in Split.values}
