"""Keeping a job while its work cannot pause to say so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, connection
from django.db.models.functions import Now

from jobs.models import Job

log = logging.getLogger(__name__)

BEAT_SECONDS = 3.0


@contextmanager
def kept(job: Job) -> Iterator[None]:
    """Renew the lease from a thread of its own until the block ends, or the job is no longer held: the block then finds
    out at its next write."""
    over = threading.Event()

    def keep() -> None:
        held = 1
        while held and not over.wait(BEAT_SECONDS):
            try:
                held = job.held().update(lease_until=Now() + job.LEASE)
            except Error as error:
                log.warning("The lease of %s was not renewed (%s); trying again.", job.pk, error)
                connection.close()
        connection.close()

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
