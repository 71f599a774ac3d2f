"""Fine-tunes and the record they leave: events, metrics, sample answers, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Mod, Now
from django.urls import reverse
from django.utils import timezone

from jobs import happenings, notices
from jobs.ml.config import TrainConfig
from jobs.models.dataset import Import, Row, Split
from jobs.models.lifecycle import ACTIVE, Cause, Job, JobQuerySet, State
from jobs.tasks import ring_on_commit

DATASETS = {"training": "dataset", "validation": "validation_dataset"}  # a file's role -> where its rows go


# What the activity feed says of its author's run.
ENDED = {State.SUCCEEDED: "trained", State.FAILED: "failed to train", State.CANCELLED: "cancelled"}


class FineTuneQuerySet(JobQuerySet):
    def for_team(self, team: Any) -> Self:
        return self.filter(team=team).select_related("base", "dataset", "author", "team", "adapter")

    def claimable(self) -> Self:
        """Only with its data sealed: one that came over the API first waits for its files to be read."""
        return self.filter(state=State.QUEUED, dataset__isnull=False)


class FineTune(Job):
    """One LoRA run: frozen configuration, live progress, and in the end an adapter."""

    PROBES = 5

    team = models.ForeignKey("workspace.Team", on_delete=models.CASCADE, related_name="finetunes")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    name = models.CharField(max_length=80)
    suffix = models.SlugField(max_length=64, blank=True)
    base = models.ForeignKey("jobs.LanguageModel", on_delete=models.PROTECT, related_name="finetunes")
    dataset = models.ForeignKey("jobs.Dataset", on_delete=models.PROTECT, null=True, related_name="finetunes")
    validation_dataset = models.ForeignKey("jobs.Dataset", on_delete=models.PROTECT, null=True, related_name="+")
    training_file = models.ForeignKey("jobs.StoredFile", on_delete=models.PROTECT, null=True, related_name="+")
    validation_file = models.ForeignKey("jobs.StoredFile", on_delete=models.PROTECT, null=True, related_name="+")
    config: models.JSONField[dict[str, Any]] = models.JSONField()  # TrainConfig.to_dict()
    plan: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # what was predicted before the start
    request: models.JSONField[dict[str, Any]] = models.JSONField(
        default=dict
    )  # the API's body (hyperparameters, metadata)
    template_hash = models.CharField(max_length=64, blank=True)

    stop_requested_at = models.DateTimeField(null=True, help_text="Stop now and keep the best checkpoint.")
    pause_requested_at = models.DateTimeField(null=True)
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    tokens = models.BigIntegerField(default=0)
    tokens_per_second = models.FloatField(null=True)
    eta_seconds = models.FloatField(null=True)
    progressed_at = models.DateTimeField(null=True, help_text="The last step, not the last heartbeat.")
    status_line = models.CharField(max_length=200, blank=True)
    metrics: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # the trainer's closing figures
    provenance: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)
    checkpoint = models.ForeignKey("jobs.Checkpoint", on_delete=models.SET_NULL, null=True, related_name="+")
    adapter = models.OneToOneField("jobs.Adapter", on_delete=models.SET_NULL, null=True, related_name="finetune")

    objects = FineTuneQuerySet.as_manager()

    class Meta:
        ordering = ["-queued_at"]
        indexes = [models.Index(fields=["team", "-queued_at"])]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def launch(
        cls,
        *,
        team: Any,
        author: Any,
        name: str,
        base: Any,
        dataset: Any,
        config: TrainConfig,
        plan: dict[str, Any],
        **fields: Any,
    ) -> FineTune:
        """Queue a run over a data set that is there, in the caller's transaction."""
        run = cls.objects.create(
            team=team,
            author=author,
            name=name,
            base=base,
            dataset=dataset,
            config=config.to_dict(),
            plan=plan,
            template_hash=base.template_hash,
            **fields,
        )
        run.events.create(message=f"Queued by {author}.")
        happenings.tell(run, "started", author.pk, note=f"on {dataset}")
        ring_on_commit("train")
        notices.changed(team.pk, "run", run.pk)
        return run

    def finish(self, state: State, **fields: Any) -> None:
        with transaction.atomic():
            super().finish(state, **fields)
            happenings.tell(self, ENDED[state], self.author_id, note=fields.get("message", "")[:200])

    def request_stop(self) -> bool:
        """Ask the trainer to finish now with its best weights. False if it is not training."""
        return bool(
            type(self).objects.active().filter(pk=self.pk, stop_requested_at=None).update(stop_requested_at=Now())
        )

    def ahead(self) -> tuple[int, float]:
        """Of a queued run: how many are before it on the training workers, and about how many seconds they take."""
        before = type(self).objects.filter(
            Q(state__in=ACTIVE) | Q(state=State.QUEUED, dataset__isnull=False, queued_at__lt=self.queued_at)
        )
        runs = list(before.exclude(pk=self.pk).only("state", "eta_seconds", "plan"))
        return len(runs), sum(run.remaining for run in runs)

    @property
    def remaining(self) -> float:
        """Seconds that are left, as far as is known: measured while it trains, else as planned."""
        if self.is_active and self.eta_seconds is not None:
            return self.eta_seconds
        return float(self.plan.get("seconds", 0))

    @property
    def share(self) -> float:
        return min(self.step / self.total_steps, 1.0) if self.total_steps else 0.0

    @property
    def train_config(self) -> TrainConfig:
        return TrainConfig.from_dict(self.config)

    @property
    def seconds(self) -> float | None:
        """From its first start to its end, or till now."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()

    @property
    def best_loss(self) -> float | None:
        loss: float | None = self.metrics.get("eval_loss")
        return loss

    def curve(self, kind: str, after: int = -1, most: int = 1500) -> list[MetricPoint]:
        """The points of a curve after a step. Of a very long one, evenly chosen points."""
        points = self.points.filter(kind=kind, step__gt=after)
        stride = points.count() // most + 1
        if stride > 1:
            points = points.annotate(phase=Mod("step", stride)).filter(phase=0)
        return list(points)

    def probe_rows(self) -> list[Row]:
        """The rows whose prompts are asked at each evaluation: the first that validate, or else the first."""
        rows = Row.objects.filter(dataset=self.validation_dataset or self.dataset).order_by("position")
        return list(rows.filter(split=Split.VALIDATION)[: self.PROBES]) or list(rows[: self.PROBES])

    @classmethod
    def data_ready(cls, imported: Import | None = None) -> None:
        """Move on the runs that came over the API and waited for this import, or for any. A run whose files are all read
        may be claimed; one whose file cannot be read has failed, with the lines that are wrong."""
        waiting = cls.objects.filter(state=State.QUEUED, dataset=None)
        if imported:
            key = str(imported.pk)
            waiting = waiting.filter(Q(request__imports__training=key) | Q(request__imports__validation=key))
        with transaction.atomic():
            for run in waiting.select_for_update():
                run._take_data()

    def _take_data(self) -> None:
        wanted = self.request.get("imports", {})
        found = Import.objects.filter(pk__in=wanted.values()).select_related("dataset", "file").in_bulk()
        imports = {role: found.get(UUID(key)) for role, key in wanted.items()}
        for role, read in imports.items():
            if read is None or (read.is_final and read.dataset is None):
                message = (
                    read.verdict() if read else f"The {role} file was removed before it was read. Upload it again."
                )
                changes: dict[str, Any] = {
                    "state": State.FAILED,
                    "cause": Cause.BAD_DATA,
                    "message": message,
                    "finished_at": Now(),
                }
                self.events.create(level="error", message=message)
                break
            if not read.is_final:
                return
        else:
            changes = {f: read.dataset for role, f in DATASETS.items() if (read := imports.get(role))}
            self.events.create(message="The files are read; the run waits for its turn.")
            ring_on_commit("train")
        type(self).objects.filter(pk=self.pk).update(**changes)
        if "state" in changes:
            happenings.tell(self, ENDED[State.FAILED], self.author_id, note=changes["message"][:200])
        notices.changed(self.team_id, "run", self.pk)

    @property
    def key(self) -> str:
        """Its id on /v1/fine_tuning/jobs."""
        return f"ftjob-{self.pk.hex}"

    @property
    def run_dir(self) -> Path:
        return Path(settings.STUDIO_RUNS) / self.pk.hex

    def get_absolute_url(self) -> str:
        return reverse("finetune", kwargs={"team": self.team.slug, "finetune_id": self.pk})


class RunEvent(models.Model):
    """A line in a run's history, for people and for /v1/fine_tuning/jobs/{id}/events."""

    finetune = models.ForeignKey(FineTune, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    level = models.CharField(
        max_length=5, choices=[("info", "Info"), ("warn", "Warning"), ("error", "Error")], default="info"
    )
    kind = models.CharField(
        max_length=8, choices=[("message", "Message"), ("metrics", "Metrics"), ("log", "Log")], default="message"
    )
    message = models.TextField()
    data: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["finetune", "kind", "id"])]

    def __str__(self) -> str:
        return self.message


class MetricPoint(models.Model):
    """One point of a curve. A resumed attempt writes its steps again, over the same points."""

    finetune = models.ForeignKey(FineTune, on_delete=models.CASCADE, related_name="points")
    kind = models.CharField(max_length=5, choices=[("train", "Training"), ("eval", "Validation")])
    step = models.PositiveIntegerField()
    epoch = models.FloatField(null=True)
    loss = models.FloatField(null=True)
    learning_rate = models.FloatField(null=True)
    grad_norm = models.FloatField(null=True)
    tokens = models.BigIntegerField(null=True)
    tokens_per_second = models.FloatField(null=True)
    memory_bytes = models.BigIntegerField(null=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["finetune", "kind", "step"], name="point_once")]
        ordering = ["step"]

    def __str__(self) -> str:
        return f"{self.kind} step {self.step}"


class SampleAnswer(models.Model):
    """What the model under training answers to a fixed probe prompt at an evaluation; step 0 is the base."""

    finetune = models.ForeignKey(FineTune, on_delete=models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField()
    index = models.PositiveSmallIntegerField()
    text = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["finetune", "step", "index"], name="sample_once")]
        ordering = ["index", "step"]

    def __str__(self) -> str:
        return f"Answer {self.index} at step {self.step}"


class Checkpoint(models.Model):
    """A place a run can resume from; only what a row points at and its manifest confirms is ever loaded."""

    finetune = models.ForeignKey(FineTune, on_delete=models.CASCADE, related_name="checkpoints")
    fence = models.PositiveIntegerField()
    step = models.PositiveIntegerField()
    folder = models.CharField(max_length=300, help_text="Under the run's folder.")
    sha256 = models.CharField(max_length=64, help_text="Of its manifest.")
    eval_loss = models.FloatField(null=True)
    best = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["finetune", "fence", "step"], name="checkpoint_once")]
        ordering = ["-step"]

    def __str__(self) -> str:
        return f"Checkpoint at step {self.step}"
