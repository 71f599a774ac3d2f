"""The Celery app: queues that carry doorbells, never work (docs/architecture.md, "Jobs").

A worker process becomes the runner that STUDIO_WORKER names. It starts with the process, not with the first message:
jobs are claimed from the database, so a broker that is away only slows them down.
"""

import logging
import os
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmstudio.settings")
os.environ.setdefault(
    "CELERY_SKIP_CHECKS", "true"
)  # they import every page; a worker needs none, and starts a second sooner

app = Celery("llmstudio")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["jobs"])


@signals.worker_init.connect
def start(**_: Any) -> None:
    """Celery would swallow an exception here and leave a worker that does nothing; whoever supervises it must see it end."""
    from jobs.runners import worker

    try:
        worker.start()
    except Exception:
        logging.getLogger(__name__).exception("This worker cannot start")
        os._exit(1)


@signals.worker_shutting_down.connect
def shutting_down(**_: Any) -> None:
    """In the signal handler, so only a word; `stop` waits for what it leads to."""
    from jobs.runners import worker

    worker.shutting_down()


@signals.worker_shutdown.connect
def stop(**_: Any) -> None:
    from jobs.runners import worker

    worker.stop()
