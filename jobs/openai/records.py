"""What a run leaves behind, as OpenAI lists it: events and checkpoints, newest first."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from django.db import models
from ninja import Query, Router
from pydantic import Field

from jobs.models import Checkpoint, FineTune, MetricPoint, RunEvent
from jobs.openai.finetuning import find_job
from jobs.openai.shapes import Text, page, seconds
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused

router = Router()

M = TypeVar("M", bound=models.Model)
Limit = Annotated[int, Query(), Field(ge=1, le=100)]
After = Annotated[Text | None, Query()]


@router.get("/fine_tuning/jobs/{job_id}/events", url_name="finetuning_events")
def list_events(request: StudioRequest, job_id: str, after: After = None, limit: Limit = 20) -> dict[str, Any]:
    run = find_job(request, job_id)
    events = RunEvent.objects.filter(finetune=run).exclude(kind="log")
    return page(events, "pk", after=_numbered(events, "ftevent-", after), limit=limit, show=show_event)


@router.get("/fine_tuning/jobs/{job_id}/checkpoints", url_name="finetuning_checkpoints")
def list_checkpoints(request: StudioRequest, job_id: str, after: After = None, limit: Limit = 10) -> dict[str, Any]:
    run = find_job(request, job_id)
    checkpoints = Checkpoint.objects.filter(finetune=run)
    losses = dict(MetricPoint.objects.filter(finetune=run, kind="train").values_list("step", "loss"))
    return page(
        checkpoints,
        "pk",
        after=_numbered(checkpoints, "ftckpt-", after),
        limit=limit,
        show=lambda checkpoint: show_checkpoint(checkpoint, run, losses.get(checkpoint.step)),
    )


def _numbered(rows: models.QuerySet[M], prefix: str, name: str | None) -> M | None:
    """The row that a cursor names; None without a cursor."""
    if not name:
        return None
    number = name.removeprefix(prefix)
    row = (
        rows.filter(pk=int(number)).first()
        if name.startswith(prefix) and number.isdecimal() and len(number) < 19
        else None
    )
    if row is None:
        raise Refused(404, f"No such object in this list: {name[:100]}", param="after", code="not_found")
    return row


def show_event(event: RunEvent) -> dict[str, Any]:
    """A training step is `metrics`; all else a message, also a validation loss, whose figure is in `data` as well."""
    return {
        "id": f"ftevent-{event.pk}",
        "object": "fine_tuning.job.event",
        "created_at": seconds(event.at),
        "level": event.level,
        "message": event.message,
        "type": "metrics" if "train_loss" in event.data else "message",
        "data": {name: value for name, value in event.data.items() if name != "detail"},
    }


def show_checkpoint(checkpoint: Checkpoint, run: FineTune, train_loss: float | None) -> dict[str, Any]:
    return {
        "id": f"ftckpt-{checkpoint.pk}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": seconds(checkpoint.created_at),
        "fine_tuning_job_id": run.key,
        "fine_tuned_model_checkpoint": f"{run.base.key}:ckpt-step-{checkpoint.step}",
        "step_number": checkpoint.step,
        "metrics": {
            "step": checkpoint.step,
            "train_loss": train_loss,
            "valid_loss": checkpoint.eval_loss,
            "full_valid_loss": checkpoint.eval_loss,
        },
    }
