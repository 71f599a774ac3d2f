"""Doorbells. A message says "look" and nothing else; whoever hears it claims from the database."""

from __future__ import annotations

import logging
from typing import Literal

from django.db import transaction
from kombu.exceptions import OperationalError

from jobs.runners import bell
from llmstudio.celery import app

log = logging.getLogger(__name__)

Kind = Literal["infer", "train", "default"]


@app.task(name="jobs.ring")
def ring(kind: str) -> None:
    bell.ring(kind)


def ring_on_commit(kind: Kind) -> None:
    """Wake the workers of a kind once the caller's rows are visible. A lost ring costs seconds: workers also poll."""

    def send() -> None:
        try:
            ring.apply_async((kind,), queue=kind, retry=False)
        except (OperationalError, OSError) as error:
            log.warning("The doorbell for %s did not ring (%s); the next sweep will find the job.", kind, error)

    transaction.on_commit(send, robust=True)
