"""Workers that have reported in: who is there to do the work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from django.db import models
from django.db.models.functions import Now


class WorkerQuerySet(models.QuerySet["Worker"]):
    def alive(self) -> Self:
        return self.filter(seen_at__gt=Now() - Worker.SILENCE)

    def kinds_alive(self) -> set[str]:
        return set(self.alive().values_list("kind", flat=True))


class Worker(models.Model):
    """One worker process. It says it is there every 3 s; silent for 12 s, it counts as gone."""

    SILENCE = timedelta(seconds=12)

    name = models.CharField(max_length=120, primary_key=True)  # kind@host:pid
    kind = models.CharField(
        max_length=10, choices=[("infer", "Chat"), ("train", "Training"), ("default", "Background")]
    )
    host = models.CharField(max_length=80)
    pid = models.PositiveIntegerField()
    facts: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # see `facts` of jobs/runners
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    objects = WorkerQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
