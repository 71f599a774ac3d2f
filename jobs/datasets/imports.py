"""An import, from its file to a sealed data set: every row is judged and stored as the file is read, once.

All of it is one transaction with the fenced finish inside. The first bad row takes back what was stored (unless bad rows
are to be left out); the rest of the file is then only judged, for the report. How rows get into their table, and which
split each one joins, is jobs/datasets/loading.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from django.db import Error, connection, transaction

from jobs import happenings, notices
from jobs.datasets import readers
from jobs.datasets.loading import Loaded
from jobs.datasets.rows import BadRow, Parsed, chat_row, completion_row, mapped_row
from jobs.models import Cause, Dataset, Import, LeaseLost, State

BEAT = 2.0


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
    problems = Problems()
    try:
        with Heart(job) as heart:
            rows = judged(job, heart, problems)
            if store(job, rows, problems, heart):
                return
            for _ in rows:
                pass  # what is wrong in the rest of the file belongs into the report
        job.finish(
            State.FAILED,
            cause=Cause.BAD_DATA,
            message=_verdict(heart.rows_read - problems.total, problems.total),
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


def judged(job: Import, heart: Heart, problems: Problems) -> Iterator[tuple[int, Parsed]]:
    """The good rows with their lines; what is wrong with the others is noted in `problems`."""
    if job.format == Import.Format.CSV:
        _check_mapping(job)
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
            yield line, row


def _check_mapping(job: Import) -> None:
    _, columns = readers.header(job.file.path)
    missing = [name for name in ("prompt", "completion") if job.mapping.get(name) not in columns]
    if missing:
        raise readers.NotReadable(
            f"No column was chosen for the {' and the '.join(missing)}. Choose one and import the file again."
        )


class Refused(Exception):
    """The file has a row that cannot be used, or none that can: what was stored of it goes away again."""


def store(job: Import, rows: Iterator[tuple[int, Parsed]], problems: Problems, heart: Heart) -> bool:
    """The rows, their data set and the end of the job, all or nothing. Nothing, and then False, when a row is bad and
    bad rows are not to be left out; `rows` is then read up to that row."""
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(
                team_id=job.team_id, author_id=job.author_id, name=job.name, file=job.file, sha256=""
            )
            loaded = Loaded(dataset)
            with loaded.copying() as add:
                for line, row in rows:
                    if problems.total and not job.skip_bad:
                        raise Refused
                    add(line, row.messages, None if job.shares else row.split)
            if not loaded.rows or (problems.total and not job.skip_bad):
                raise Refused
            if heart.failure:
                raise heart.failure
            dataset.sha256, dataset.counts = loaded.split(job.shares)
            dataset.save(update_fields=["sha256", "counts"])
            connection.check_constraints()  # now, while the lease is kept, and not within the commit
            heart.stopping.set()  # from here on this transaction holds the job's row
            heart.thread.join()
            job.finish(State.SUCCEEDED, dataset=dataset, **problems.fields(heart.rows_read))
            note = f"{loaded.rows:,} row{'' if loaded.rows == 1 else 's'}"
            happenings.tell(dataset, "imported", job.author_id, note=note)
    except Refused:
        return False
    return True


def _verdict(good: int, bad: int) -> str:
    if not good and not bad:
        return "The file has no rows. Nothing was imported."
    if not good:
        return "No row can be used as it is, most likely because the file has another format than was chosen. Nothing was imported."
    rows = "1 row" if bad == 1 else f"{bad:,} rows"
    return f"{rows} of {good + bad:,} cannot be used. Nothing was imported."
