"""What a person should know about a data set's rows before training on them: their lengths, repetitions, questions with
several answers, and rows kept for validation or test that resemble one to be trained on.

Made after the import, by the default worker (jobs/runners/quality.py), from the stored rows, in bounded memory: of each row
its length, three hashes and the 189 bytes of jobs/ml/duplicates.py. The web process only shows what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from jobs.datasets.splits import group_of
from jobs.models import Dataset, Row, Split

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

AT_ONCE = 1000
SHOWN = 3  # examples of each finding


def judged(dataset: Dataset, stopping: Callable[[], bool]) -> dict[str, Any] | None:
    """The report, or None when the worker is to stop."""
    import numpy as np  # only workers have it loaded

    from jobs.ml.duplicates import THRESHOLD, NearDuplicates

    count = dataset.rows.count()
    near = NearDuplicates(count)
    lengths, train = np.zeros(count, np.int64), np.zeros(count, bool)
    whole, asked = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    at = 0
    for rows in _windows(dataset):
        if stopping():
            return None
        piece = slice(at, at := at + len(rows))
        texts = ["\n".join(message["content"] for message in messages) for _, messages in rows]
        lengths[piece] = [len(text) for text in texts]
        train[piece] = [split == Split.TRAIN for split, _ in rows]
        whole[piece] = [_hash(text) for text in texts]
        asked[piece] = [group_of(messages) for _, messages in rows]
        near.add(texts)
    if not at:
        return {"rows": 0}
    first = near.groups()
    alike = np.flatnonzero(first != np.arange(at))
    repeated = at - len(np.unique(whole))
    taught = np.bincount(first[train], minlength=at) > 0  # the groups with a row that trains
    leaks = np.flatnonzero(~train & taught[first])
    return {
        "rows": at,
        "length": {
            "median": int(np.median(lengths)),
            "p95": int(np.percentile(lengths, 95)),
            "most": int(lengths.max()),
        },
        "repeated": repeated,
        "near": {"threshold": THRESHOLD, "rows": len(alike), "shown": _shown(alike, first)},
        "conflicts": _conflicts(asked, whole),
        "leaks": {"rows": len(leaks), "shown": [int(row) + 1 for row in leaks[:SHOWN]]},
    }


def _windows(dataset: Dataset) -> Iterator[list[tuple[str, list[dict[str, str]]]]]:
    rows = Row.objects.filter(dataset=dataset).order_by("position")
    after = -1
    while window := list(rows.filter(position__gt=after).values_list("position", "split", "messages")[:AT_ONCE]):
        yield [(split, messages) for _, split, messages in window]
        after = window[-1][0]


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _shown(alike: npt.NDArray[np.int64], first: npt.NDArray[np.int64]) -> list[list[int]]:
    """Pairs of rows, counted from 1 as the page counts them."""
    return [[int(first[row]) + 1, int(row) + 1] for row in alike[:SHOWN]]


def _conflicts(asked: npt.NDArray[np.uint64], whole: npt.NDArray[np.uint64]) -> int:
    """How many questions have more than one answer."""
    import numpy as np

    pairs = np.unique(np.stack([asked, whole], axis=1), axis=0)
    _, answers = np.unique(pairs[:, 0], return_counts=True)
    return int((answers > 1).sum())
