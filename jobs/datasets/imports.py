"""An import, from its file to a sealed data set: the file is read twice, first to judge every row, then to store them.

Nothing is stored while any row is bad (unless bad rows are to be left out), and then everything in one transaction,
with the fenced finish inside it. Memory stays bounded: of each row only a number is kept between the two passes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.db import Error, connection, transaction

from jobs import happenings, notices
from jobs.datasets import readers, splits
from jobs.datasets.rows import BadRow, Parsed, chat_row, completion_row, mapped_row
from jobs.models import Cause, Dataset, Import, LeaseLost, Row, Split, State

BEAT = 2.0
BATCH = 500


class Cancelled(Exception):
    """Someone asked for the import to be stopped."""


class Heart:
    """Keeps the lease while rows are read: a thread with a connection of its own, because the rows' transaction must
    not hold the job's row. It also hears a cancel."""

    def __init__(self, job: Import) -> None:
        self.job = job
        self.rows_read = 0
        self.failure: Exception | None = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="import heart", daemon=True)

    def __enter__(self) -> Heart:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()

    def count(self) -> None:
        """One more row is read. Raises what the heart has met meanwhile."""
        self.rows_read += 1
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self.stopping.wait(BEAT):
                self.job.beat(rows_read=self.rows_read)
                if Import.objects.filter(pk=self.job.pk, cancel_requested_at__isnull=False).exists():
                    raise Cancelled
                notices.changed(self.job.team_id, "import", self.job.pk)
        except (LeaseLost, Cancelled, Error) as failure:
            self.failure = failure
        finally:
            connection.close()


def run_import(job: Import) -> None:
    """Do a held import, to its end. LeaseLost and OSError are the caller's."""
    try:
        with Heart(job) as heart:
            groups, problems = judge(job, heart)
            if groups and (not problems.total or job.skip_bad):
                store(job, groups, problems, heart)
                return
        job.finish(
            State.FAILED,
            cause=Cause.BAD_DATA,
            message=_verdict(len(groups), problems.total),
            **problems.fields(heart.rows_read),
        )
    except readers.NotReadable as error:
        job.finish(State.FAILED, cause=Cause.BAD_DATA, message=str(error))
    except Cancelled:
        job.finish(State.CANCELLED, cause=Cause.CANCELLED, message="Cancelled. Nothing was imported.")


class Problems:
    """What is wrong, by line: all counted, the first thousand kept."""

    def __init__(self) -> None:
        self.total = 0
        self.kept: list[dict[str, Any]] = []

    def add(self, line: int, reason: str) -> None:
        self.total += 1
        if len(self.kept) < Import.MAX_PROBLEMS:
            self.kept.append({"line": line, "reason": reason.encode("utf-8", "replace").decode()})

    def fields(self, rows_read: int) -> dict[str, Any]:
        return {"problems": self.kept, "problems_total": self.total, "rows_read": rows_read}


def parsed(job: Import) -> Iterator[tuple[int, Parsed | BadRow]]:
    """Every row of the job's file, judged on its own."""
    for line, value in readers.entries(job.file.path, job.format):
        try:
            yield line, value if isinstance(value, BadRow) else parse(value, job.format, job.mapping)
        except BadRow as problem:
            yield line, problem


def parse(value: Any, format: str, mapping: dict[str, str]) -> Parsed:
    if format == Import.Format.CHAT:
        return chat_row(value)
    if format == Import.Format.COMPLETION:
        return completion_row(value)
    return mapped_row(value, mapping)


def judge(job: Import, heart: Heart) -> tuple[array[int], Problems]:
    """First pass: the group of every good row, and everything that is wrong."""
    if job.format == Import.Format.CSV:
        _check_mapping(job)
    groups, problems = array("Q"), Problems()
    own_split: bool | None = None
    for line, row in parsed(job):
        heart.count()
        if not isinstance(row, BadRow) and not job.shares:
            own_split = row.split is not None if own_split is None else own_split
            if own_split != (row.split is not None):
                row = BadRow(
                    "has no split, although other rows have one"
                    if own_split
                    else "has a split, although the rows before it have none"
                )
        if isinstance(row, BadRow):
            problems.add(line, str(row))
        else:
            groups.append(splits.group_of(row.messages))
    return groups, problems


def _check_mapping(job: Import) -> None:
    _, columns = readers.header(job.file.path)
    missing = [name for name in ("prompt", "completion") if job.mapping.get(name) not in columns]
    if missing:
        raise readers.NotReadable(
            f"No column was chosen for the {' and the '.join(missing)}. Choose one and import the file again."
        )


def store(job: Import, groups: array[int], problems: Problems, heart: Heart) -> None:
    """Second pass: the rows, their data set and the end of the job, all or nothing."""
    chosen = splits.assign(groups, splits.targets(len(groups), job.shares))
    # The same file gives the same rows in the same order, so the groups of the first pass are met again one by one.
    known = iter(groups)
    own = not job.shares
    digest, counts = hashlib.sha256(), Counter[str]()
    with transaction.atomic():
        dataset = Dataset.objects.create(
            team_id=job.team_id, author_id=job.author_id, name=job.name, file=job.file, sha256=""
        )
        batch: list[Row] = []
        good = ((line, row) for line, row in _again(job, heart) if not isinstance(row, BadRow))
        for position, (line, row) in enumerate(good):
            split = row.split if own and row.split else chosen.get(next(known), Split.TRAIN)
            counts[split] += 1
            digest.update(seal(split, row.messages))
            batch.append(Row(dataset=dataset, position=position, split=split, messages=row.messages, line=line))
            if len(batch) == BATCH:
                Row.objects.bulk_create(batch)
                batch.clear()
        Row.objects.bulk_create(batch)
        dataset.sha256, dataset.counts = digest.hexdigest(), {split: counts[split] for split in Split.values}
        dataset.save(update_fields=["sha256", "counts"])
        rows_read = len(groups) + problems.total
        heart.stopping.set()  # from here on this transaction holds the job's row
        heart.thread.join()
        job.finish(State.SUCCEEDED, dataset=dataset, **problems.fields(rows_read))
        happenings.tell(
            dataset, "imported", job.author_id, note=f"{len(groups):,} row{'' if len(groups) == 1 else 's'}"
        )


def _again(job: Import, heart: Heart) -> Iterator[tuple[int, Parsed | BadRow]]:
    for line, row in parsed(job):
        if heart.failure:
            raise heart.failure
        yield line, row


def seal(split: str, messages: list[dict[str, str]]) -> bytes:
    """One row's part of a data set's SHA-256."""
    return json.dumps([split, messages], ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _verdict(good: int, bad: int) -> str:
    if not good and not bad:
        return "The file has no rows. Nothing was imported."
    if not good:
        return "No row can be used as it is, most likely because the file has another format than was chosen. Nothing was imported."
    rows = "1 row" if bad == 1 else f"{bad:,} rows"
    return f"{rows} of {good + bad:,} cannot be used. Nothing was imported."
