"""What every job shares: states, claim, lease, fence, finish (docs/architecture.md, "Jobs").

The row is the job; a Celery message only says "look". A claim is one UPDATE in database time that raises the fence,
and every later write names that fence, so a worker that was thought dead cannot overwrite its successor.
This module does not know what any job does.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self, cast

from django.db import connection, models
from django.db.models.functions import Coalesce, Now


class State(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    PAUSING = "pausing", "Pausing"
    PAUSED = "paused", "Paused"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class Cause(models.TextChoices):
    """Why a job did not succeed."""

    OOM = "oom", "Out of memory"
    DISK = "disk", "Disk full"
    BAD_DATA = "bad_data", "Bad data"
    MODEL_MISSING = "model_missing", "Model missing"
    LOST = "lost", "Worker lost"
    STALLED = "stalled", "Stalled"
    ERROR = "error", "Error"
    CANCELLED = "cancelled", "Cancelled"


ACTIVE = (State.RUNNING, State.PAUSING)
FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

# Enforced by a trigger on every job table (the initial migration is generated from this).
EDGES: frozenset[tuple[State, State]] = frozenset(
    {
        (State.QUEUED, State.RUNNING),
        (State.QUEUED, State.FAILED),
        (State.QUEUED, State.CANCELLED),
        (State.RUNNING, State.QUEUED),  # its worker was lost: claimed again
        (State.RUNNING, State.PAUSING),
        (State.RUNNING, State.SUCCEEDED),
        (State.RUNNING, State.FAILED),
        (State.RUNNING, State.CANCELLED),
        (State.PAUSING, State.PAUSED),
        (State.PAUSING, State.QUEUED),
        (State.PAUSING, State.SUCCEEDED),
        (State.PAUSING, State.FAILED),
        (State.PAUSING, State.CANCELLED),
        (State.PAUSED, State.QUEUED),
        (State.PAUSED, State.CANCELLED),
    }
)


class LeaseLost(Exception):
    """This attempt no longer holds the job: stop at once, write nothing more."""


class JobQuerySet(models.QuerySet[Any]):
    def claimable(self) -> Self:
        return self.filter(state=State.QUEUED)

    def active(self) -> Self:
        return self.filter(state__in=ACTIVE)

    def unfinished(self) -> Self:
        return self.exclude(state__in=FINAL)

    def claim(self, worker: str, limit: int = 1) -> list[Any]:
        """Take up to `limit` queued jobs of this queryset for `worker`, oldest first, raising each one's fence.

        The commit waits for the disk, 1 to 4 ms of every first token: if a crash of the database could forget a claim, the
        next one would get the same fence, and two workers would pass for the holder.
        """
        chosen = self.claimable().order_by("queued_at", "pk").values("id")
        sql, params = chosen.query.sql_with_params()
        table = connection.ops.quote_name(self.model._meta.db_table)
        # MATERIALIZED: inlined, the planner may run the SELECT again for each row and take more than `limit`.
        statement = f"""
            WITH chosen AS MATERIALIZED ({sql} LIMIT %s FOR UPDATE SKIP LOCKED)
            UPDATE {table} AS job SET state = %s, worker = %s, fence = fence + 1, attempts = attempts + 1,
                lease_until = clock_timestamp() + %s, started_at = coalesce(started_at, clock_timestamp())
            FROM chosen WHERE job.id = chosen.id AND job.state = %s RETURNING job.id
        """  # noqa: S608 - names from the model and SQL from the ORM; every value is a parameter
        with connection.cursor() as cursor:
            cursor.execute(statement, [*params, limit, State.RUNNING, worker, self.model.LEASE, State.QUEUED])
            ids = [row[0] for row in cursor.fetchall()]
        claimed = self.model._default_manager.filter(pk__in=ids).order_by("queued_at", "pk")
        return list(claimed.select_related(*self.model.WITH) if self.model.WITH else claimed)

    def request_cancel(self) -> int:
        """Cancel those that have not started, and ask the workers of the others to stop. Returns how many had not ended."""
        # The mark comes first: should the sweep requeue a job between the two, it sees the mark and cancels.
        asked = self.unfinished().update(cancel_requested_at=Coalesce("cancel_requested_at", Now()))
        self.filter(state__in=(State.QUEUED, State.PAUSED), cancel_requested_at__isnull=False).update(
            state=State.CANCELLED, cause=Cause.CANCELLED, finished_at=Now()
        )
        return asked

    def expired(self) -> Self:
        return self.active().filter(lease_until__lt=Now())


class Job(models.Model):
    """A unit of work that a worker claims, keeps alive and finishes."""

    LEASE: ClassVar[timedelta] = timedelta(seconds=15)
    MAX_ATTEMPTS: ClassVar[int] = 3
    WITH: ClassVar[tuple[str, ...]] = ()  # what a worker needs of other tables at once, and so gets with the claim

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    cause = models.CharField(max_length=16, choices=Cause.choices, blank=True)
    message = models.TextField(blank=True, help_text="What happened and what to do, for a person.")
    worker = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    cancel_requested_at = models.DateTimeField(null=True)
    queued_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @classmethod
    def rows(cls) -> JobQuerySet:
        """All jobs of this kind."""
        return cast(JobQuerySet, cls._default_manager.all())

    def held(self) -> JobQuerySet:
        """The row, but only while this attempt still holds it."""
        return self.rows().active().filter(pk=self.pk, fence=self.fence)

    def write(self, **fields: Any) -> None:
        """A fenced write, in memory too. Raises LeaseLost when another attempt holds the job or it has ended."""
        if not self.held().update(**fields):
            raise LeaseLost(f"{self._meta.verbose_name} {self.pk} is no longer held by attempt {self.fence}.")
        for name, value in fields.items():
            if not hasattr(value, "resolve_expression"):
                setattr(self, name, value)

    def beat(self, **fields: Any) -> None:
        """Renew the lease in database time, with any progress on board."""
        self.write(lease_until=Now() + self.LEASE, **fields)

    def finish(self, state: State, *, cause: str = "", message: str = "", **fields: Any) -> None:
        """End this attempt's job for good."""
        self.write(state=state, cause=cause, message=message, finished_at=Now(), lease_until=None, **fields)

    def release(self, *, counted: bool, **fields: Any) -> None:
        """Hand the job back to the queue. An attempt not `counted` (its worker restarts) is none of the few it has."""
        attempts = self.attempts if counted else max(self.attempts - 1, 0)
        self.write(state=State.QUEUED, worker="", lease_until=None, attempts=attempts, **fields)

    def request_cancel(self) -> bool:
        """Cancel a job that has not started, or ask its worker to stop. False if it has already ended."""
        return self.rows().filter(pk=self.pk).request_cancel() > 0
