"""The default worker's runner for quality reports: a data set without one is the work to do.

Nothing is claimed: two workers that look at once do it twice and write the same. One that dies has written nothing, and the
next look begins again.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from django.db import Error

from jobs import notices
from jobs.datasets import quality
from jobs.models import Dataset

log = logging.getLogger(__name__)


class QualityRunner:
    pause = 5.0

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping

    def facts(self) -> dict[str, Any]:
        return {}

    def look(self) -> None:
        waiting = Dataset.objects.filter(quality__isnull=True).order_by("created_at")
        while not self.stopping.is_set() and (dataset := waiting.first()):
            try:
                report = quality.judged(dataset, self.stopping.is_set)
            except Error:
                raise  # the database is away: again at the next look
            except Exception:  # the job's boundary: the others still get their reports
                log.exception("The quality report of data set %s failed", dataset.pk)
                report = {"failed": True}
            if report is None:
                return
            Dataset.objects.filter(pk=dataset.pk).update(quality=report)
            notices.changed(dataset.team_id, "dataset", dataset.pk)

    def stop(self) -> None:
        """Nothing is held."""
