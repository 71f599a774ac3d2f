"""The default worker's runner: reads uploaded files into data sets, one at a time."""

from __future__ import annotations

import logging
import threading
from typing import Any

from django.db import Error

from jobs import notices
from jobs.datasets import run_import
from jobs.models import Cause, FineTune, Import, LeaseLost, State

log = logging.getLogger(__name__)


class ImportRunner:
    pause = 5.0

    def __init__(self, name: str, stopping: threading.Event) -> None:
        self.name, self.stopping = name, stopping

    def facts(self) -> dict[str, Any]:
        return {}

    def look(self) -> None:
        while not self.stopping.is_set() and (claimed := Import.objects.all().claim(self.name)):
            self._run(claimed[0])

    def stop(self) -> None:
        """An import that is cut off is claimed again by the next worker: nothing of it has been written."""

    def _run(self, job: Import) -> None:
        try:
            run_import(job)
        except LeaseLost as error:
            log.warning("%s", error)
        except Error:
            raise  # the lease runs out and the import is claimed again
        except Exception:  # the job's boundary: whatever the file made of our reader, the import must end
            log.exception("Import %s failed", job.pk)
            message = "Reading the file failed unexpectedly. Nothing was imported; the worker's log has the details."
            job.finish(State.FAILED, cause=Cause.ERROR, message=message)
        FineTune.data_ready(job)
        notices.changed(job.team_id, "import", job.pk)
