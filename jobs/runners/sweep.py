"""Sweeping up: leases that ran out, doorbells that nobody heard, runs whose files have been read.

Every worker tries each few seconds; an advisory lock lets one do it. All times are the database's. It does not know how
jobs are done.
"""

from __future__ import annotations

import hashlib
import logging
import time
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models.functions import Now

from jobs import notices
from jobs.models import Cause, FineTune, Generation, Import, Job, Mail, RunEvent, State, Worker
from jobs.tasks import Kind, ring_on_commit
from jobs.tokenlog import TokenLog

log = logging.getLogger(__name__)

LOCK = 0x5354_5544  # "STUD"
UNHEARD = timedelta(seconds=5)
FORGOTTEN = timedelta(days=1)
KINDS: dict[type[Job], tuple[Kind, str]] = {  # who does it, and as what the team hears of it (mail: not at all)
    Generation: ("infer", "generation"),
    FineTune: ("train", "run"),
    Import: ("default", "import"),
    Mail: ("default", ""),
}


class Sweeper:
    """Remembers when it last reached the database: after an outage all workers need time to renew, so nothing expires
    until one full lease later."""

    def __init__(self) -> None:
        self.log = TokenLog()
        self.reached_at = time.monotonic()
        self.steady_since = -Job.LEASE.total_seconds()

    def sweep(self) -> None:
        now = time.monotonic()
        if now - self.reached_at > Generation.LEASE.total_seconds():
            self.steady_since = now
        self.reached_at = now
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return
            steady_for = min(timedelta(seconds=now - self.steady_since), database_up_for(cursor))
            for model in KINDS:
                if steady_for >= model.LEASE:
                    self._expire(model)
            self._ring_again()
            Worker.objects.filter(seen_at__lt=Now() - FORGOTTEN).delete()
        FineTune.data_ready()

    def _expire(self, model: type[Job]) -> None:
        for job in model.rows().expired().select_for_update(skip_locked=True, of=("self",)):
            log.warning("%s %s was lost by %s, attempt %s.", job._meta.verbose_name, job.pk, job.worker, job.attempts)
            if isinstance(job, Generation):
                self._end_reply(job)
            elif job.cancel_requested_at:
                job.finish(State.CANCELLED, cause=Cause.CANCELLED)
            elif job.attempts < job.MAX_ATTEMPTS:
                _queue_again(job)
            else:
                job.finish(State.FAILED, cause=Cause.LOST, message=LOST[model])
            if kind := KINDS[model][1]:
                notices.changed(job.team_id, kind, job.pk)

    def _end_reply(self, generation: Generation) -> None:
        """A reply is not redone: it keeps every word that anyone has seen, and a person may have it continued."""
        pieces = self.log.unsaved(generation)
        text = generation.text + "".join(pieces)
        fields: dict[str, Any] = {
            "text": text,
            "sequence_number": generation.sequence_number + len(pieces),
            "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        if generation.cancel_requested_at:
            generation.finish(State.CANCELLED, cause=Cause.CANCELLED, finish_reason="cancelled", **fields)
        else:
            generation.finish(State.FAILED, cause=Cause.LOST, message=LOST[Generation], finish_reason="error", **fields)
        transaction.on_commit(partial(self.log.close, generation))

    def _ring_again(self) -> None:
        alive = Worker.objects.kinds_alive()
        for model, (kind, _) in KINDS.items():
            if kind in alive and model.rows().claimable().filter(queued_at__lt=Now() - UNHEARD).exists():
                ring_on_commit(kind)


def database_up_for(cursor: CursorWrapper) -> timedelta:
    cursor.execute("SELECT clock_timestamp() - pg_postmaster_start_time()")
    up: timedelta = cursor.fetchone()[0]
    return up


def _queue_again(job: Job) -> None:
    if isinstance(job, FineTune):
        message = "The training worker was lost. The run goes on from its last checkpoint when a worker is free."
        RunEvent.objects.create(finetune=job, level="warn", message=message)
    job.release(counted=True)
    ring_on_commit(KINDS[type(job)][0])


LOST: dict[type[Job], str] = {
    Generation: "The worker that wrote this answer stopped. What it had written is kept; continue from there.",
    FineTune: (
        "The training worker was lost three times without getting further. Its log and last checkpoint are kept. "
        "The machine may be short of memory: try a smaller batch or a shorter maximum length, then start it again."
    ),
    Import: "The worker that read this file stopped three times. Nothing was imported; try again.",
    Mail: "The worker that sent this mail stopped three times. It may not have arrived.",
}
