"""What a trainer reports, as rows: events, curve points, sample answers, checkpoints, and in the end the adapter.

Lines are gathered and written a couple of times a second, fenced. It does not know processes or signals.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils.text import slugify

import llmstudio
from jobs.models import Adapter, Checkpoint, FineTune, MetricPoint, RunEvent, SampleAnswer, State
from jobs.texts import storable

log = logging.getLogger(__name__)

POINT = ("epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "memory_bytes")
LONGEST = 4000  # characters of one event's text


class Record:
    def __init__(self, finetune: FineTune) -> None:
        self.finetune = finetune
        self.heard = False  # the child has said something, so it listens to signals
        self.started = False
        self.stopped = False
        self.done: dict[str, Any] = {}
        self.error: dict[str, Any] = {}
        self._rewind: int | None = None  # the step that this attempt goes on from
        self._points: dict[tuple[str, int], MetricPoint] = {}
        self._samples: dict[tuple[int, int], SampleAnswer] = {}
        self._checkpoints: list[dict[str, Any]] = []
        self._events: list[RunEvent] = []
        self._fields: dict[str, Any] = {}  # of the fine-tune's row

    def take(self, line: str) -> None:
        """One line of the trainer's output."""
        try:
            event = json.loads(line, parse_constant=lambda _: None)  # PostgreSQL's JSON knows no NaN
            handler = getattr(self, f"_on_{event['type']}", None)
        except (ValueError, KeyError, TypeError):
            log.warning("The trainer of %s printed a line that is not an event: %s", self.finetune.pk, line[:200])
            return
        self.heard = True
        if handler:
            handler(event)

    def note(self, message: str, *, kind: str = "message", level: str = "info", **data: Any) -> None:
        """A line in the run's history."""
        text = storable(message)[-LONGEST:]
        self._events.append(RunEvent(finetune=self.finetune, kind=kind, level=level, message=text, data=data))

    def write(self) -> bool:
        """Everything gathered, in one transaction and only while this attempt holds the job. True if there was any."""
        if not (self._points or self._samples or self._checkpoints or self._events or self._fields):
            return False
        with transaction.atomic():
            self.finetune.beat(**self._fields)  # first: it locks the row, or finds that it is not ours
            if self._rewind is not None:
                self._forget_after(self._rewind)
            MetricPoint.objects.bulk_create(
                self._points.values(),
                update_conflicts=True,
                unique_fields=["finetune", "kind", "step"],
                update_fields=list(POINT),
            )
            SampleAnswer.objects.bulk_create(
                self._samples.values(),
                update_conflicts=True,
                unique_fields=["finetune", "step", "index"],
                update_fields=["text"],
            )
            RunEvent.objects.bulk_create(self._events)
            for event in self._checkpoints:
                self._keep(event)
        self._rewind = None
        for gathered in (self._points, self._samples, self._checkpoints, self._events, self._fields):
            gathered.clear()
        return True

    def finish(self) -> None:
        """The adapter and the success, together or not at all."""
        finetune, done = self.finetune, self.done
        early = " It was stopped early; the best weights so far are kept." if done["stopped_early"] else ""
        self.note(f"The fine-tune is done after {done['step']:,} steps.{early}")
        self.write()
        with transaction.atomic():
            adapter = Adapter.objects.create(
                team_id=finetune.team_id,
                base=finetune.base,
                name=finetune.name,
                suffix=finetune.suffix or slugify(finetune.name)[:64],
                folder=str((finetune.run_dir / done["path"]).relative_to(settings.STUDIO_RUNS)),
                sha256=done["sha256"],
                template_hash=done["provenance"]["template_hash"],
                rank=finetune.config["lora"]["r"],
            )
            finetune.finish(
                State.SUCCEEDED,
                adapter=adapter,
                step=done["step"],
                metrics={**done["metrics"], "stopped_early": done["stopped_early"]},
                provenance={
                    **done["provenance"],
                    "dataset": str(finetune.dataset_id),
                    "dataset_sha256": finetune.dataset.sha256 if finetune.dataset else "",
                    "attempts": finetune.fence,
                    "studio": llmstudio.__version__,
                },
                eta_seconds=None,
                status_line="",
            )

    def _on_start(self, event: dict[str, Any]) -> None:
        self.started = True
        self._rewind = event["resumed_from"] if event["resumed_from"] is not None else -1
        self._fields |= {
            "total_steps": event["total_steps"],
            "step": max(self._rewind, 0),
            "progressed_at": Now(),
            "status_line": "",
        }
        if event["resumed_from"] is None:
            weights, rows, steps = (f"{event[key]:,}" for key in ("trainable_parameters", "rows", "total_steps"))
            where = f"on {event['device']} with {event['threads']} thread{'s' if event['threads'] > 1 else ''}"
            self.note(f"Training {weights} weights on {rows} rows in {steps} steps, {where}.")
        else:
            self.note(f"Going on after step {event['resumed_from']:,} of {event['total_steps']:,}.")

    def _on_status(self, event: dict[str, Any]) -> None:
        self._fields["status_line"] = storable(event["message"])[:200]
        self.note(event["message"])

    def _on_step(self, event: dict[str, Any]) -> None:
        step, loss = event["step"], event["loss"]
        values = {name: event.get(name) for name in POINT}
        self._points["train", step] = MetricPoint(finetune=self.finetune, kind="train", step=step, **values)
        self._fields |= {
            "step": step,
            "tokens": event["tokens"],
            "tokens_per_second": event["tokens_per_second"],
            "eta_seconds": event["eta_seconds"],
            "progressed_at": Now(),
            "status_line": "",
        }
        self.note(
            f"Step {step}: training loss {_shown(loss)}.",
            kind="metrics",
            step=step,
            total_steps=self.finetune.total_steps,
            train_loss=loss,
            learning_rate=event["learning_rate"],
        )

    def _on_eval(self, event: dict[str, Any]) -> None:
        step, loss = event["step"], event["loss"]
        self._points["eval", step] = MetricPoint(finetune=self.finetune, kind="eval", step=step, loss=loss)
        self._fields["progressed_at"] = Now()
        best = ", the best so far" if event["best"] else ""
        self.note(f"Step {step}: validation loss {_shown(loss)}{best}.", kind="metrics", step=step, valid_loss=loss)

    def _on_sample(self, event: dict[str, Any]) -> None:
        step, index = event["step"], event["index"]
        text = storable(event["text"])
        self._samples[step, index] = SampleAnswer(finetune=self.finetune, step=step, index=index, text=text)
        self._fields["progressed_at"] = Now()

    def _on_checkpoint(self, event: dict[str, Any]) -> None:
        self._checkpoints.append(event)
        self.note(f"Checkpoint saved at step {event['step']:,}.")

    def _on_stopped(self, event: dict[str, Any]) -> None:
        self.stopped = True

    def _on_done(self, event: dict[str, Any]) -> None:
        self.done = event

    def _on_error(self, event: dict[str, Any]) -> None:
        self.error = event

    def _forget_after(self, step: int) -> None:
        """This attempt goes on after `step`: what an earlier one did beyond it will be done again."""
        self.finetune.points.filter(step__gt=step).delete()
        self.finetune.samples.filter(step__gt=step).delete()
        self.finetune.events.filter(kind="metrics", data__step__gt=step).delete()

    def _keep(self, event: dict[str, Any]) -> None:
        """The fenced pointer to a checkpoint: from here on a resumed run starts there."""
        if event["best"]:
            self.finetune.checkpoints.filter(best=True).update(best=False)
        checkpoint, _ = Checkpoint.objects.update_or_create(
            finetune=self.finetune,
            fence=self.finetune.fence,
            step=event["step"],
            defaults={
                "folder": event["path"],
                "sha256": event["sha256"],
                "eval_loss": event["eval_loss"],
                "best": event["best"],
            },
        )
        # Attempts are there to stop a run that keeps dying in one place; one that has got further has earned them anew.
        further = self.finetune.checkpoint is None or checkpoint.step > self.finetune.checkpoint.step
        self.finetune.write(checkpoint=checkpoint, **({"attempts": 1} if further else {}))


def _shown(loss: float | None) -> str:
    return "not a number" if loss is None else f"{loss:.4f}"
