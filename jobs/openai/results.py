"""A run's figures as the file that OpenAI calls its results: one CSV line a step."""

from __future__ import annotations

import csv
import io
from typing import Any

from jobs.models import FineTune, MetricPoint
from jobs.openai.shapes import seconds

PREFIX = "file-results-"
COLUMNS = ("loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second")


def results_key(run: FineTune) -> str:
    return f"{PREFIX}{run.pk.hex}"


def csv_text(run: FineTune) -> str:
    steps: dict[int, dict[str, Any]] = {}
    for point in MetricPoint.objects.filter(finetune=run).order_by("step"):
        row = steps.setdefault(point.step, {"step": point.step})
        if point.kind == "eval":
            row["valid_loss"] = point.loss
        else:
            row |= {"train_loss": point.loss} | {name: getattr(point, name) for name in COLUMNS[1:]}
    out = io.StringIO()
    writer = csv.DictWriter(out, ["step", "train_loss", "valid_loss", *COLUMNS[1:]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(steps[step] for step in sorted(steps))
    return out.getvalue()


def show(run: FineTune) -> dict[str, Any]:
    return {
        "id": results_key(run),
        "object": "file",
        "bytes": len(csv_text(run)),
        "created_at": seconds(run.finished_at or run.queued_at),
        "filename": "step_metrics.csv",
        "purpose": "fine-tune-results",
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }
