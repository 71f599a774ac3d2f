"""A data set from rows that people picked out one by one: a new one, or a new one that begins with another's rows.

Sealed like an import. Each row remembers what it was made from. It does not know where the rows come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from jobs.datasets import splits
from jobs.datasets.rows import BadRow, Message, chat_row, written
from jobs.datasets.seal import Seal, counted
from jobs.models import Dataset, Row, Split

BATCH = 500


@dataclass(frozen=True)
class Picked:
    messages: list[Message]
    source: str  # "cell:<id>"


@dataclass
class Collected:
    """`left_out` holds what could not be a row, with the reason, worded to follow “it”."""

    dataset: Dataset | None
    taken: int = 0
    left_out: list[tuple[Picked, str]] = field(default_factory=list)


def collect(
    picked: Iterable[Picked], *, team: Any, author: Any, name: str, description: str = "", base: Dataset | None = None
) -> Collected:
    """Seal the rows of `base`, in their splits, and those picked after them. A picked row whose prompt `base` has already
    joins that row's split, so that nothing is trained on what is tested. Without one good row nothing is stored."""
    done = Collected(None)
    good: list[tuple[Picked, int]] = []
    for one in picked:
        try:
            good.append((one, splits.group_of(chat_row({"messages": one.messages}).messages)))
        except BadRow as problem:
            done.left_out.append((one, str(problem)))
    if not good:
        return done
    with transaction.atomic():
        dataset = Dataset.objects.create(
            team=team, author=author, name=name, sha256="", description=description or (base.description if base else ""),
            licence=base.licence if base else "",
        )  # fmt: skip
        known: dict[int, str] = {}
        seal, joined = Seal(), list[str]()
        batch: list[Row] = []
        for position, row in enumerate(_rows(base, good, known)):
            row.dataset, row.position = dataset, position
            joined.append(row.split)
            seal.add([written(row.messages)])
            batch.append(row)
            if len(batch) == BATCH:
                Row.objects.bulk_create(batch)
                batch.clear()
        Row.objects.bulk_create(batch)
        dataset.sha256, dataset.counts = seal.close(joined), counted(joined)
        dataset.save(update_fields=["sha256", "counts"])
    done.dataset, done.taken = dataset, len(good)
    return done


def _rows(base: Dataset | None, good: list[tuple[Picked, int]], known: dict[int, str]) -> Iterator[Row]:
    if base is None:
        groups = [group for _, group in good]
        known |= splits.assign(groups, splits.targets(len(groups), {}))
    else:
        for row in base.rows.order_by("position").iterator(BATCH):
            known.setdefault(splits.group_of(row.messages), row.split)
            yield Row(split=row.split, messages=row.messages, source=row.source)
    for one, group in good:
        yield Row(split=known.get(group, Split.TRAIN), messages=one.messages, source=one.source)
