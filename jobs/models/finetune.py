"""Fine-tunes and the record they leave: events, metrics, sample answers, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.urls import reverse

from jobs.models.lifecycle import Job, JobQuerySet, State


class FineTuneQuerySet(JobQuerySet):
    def for_team(self, team: Any) -> Self:
        return self.filter(team=team).select_related("base", "dataset", "author", "team", "adapter")

    def claimable(self) -> Self:
        """Only with its data sealed: one that came over the API first waits for its files to be read."""
        return self.filter(state=State.QUEUED, dataset__isnull=False)


class FineTune(Job):
    """One LoRA run: frozen configuration, live progress, and in the end an adapter."""

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
    request: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # the API's body (hyperparameters, metadata)
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
    level = models.CharField(max_length=5, choices=[("info", "Info"), ("warn", "Warning"), ("error", "Error")], default="info")
    kind = models.CharField(max_length=8, choices=[("message", "Message"), ("metrics", "Metrics"), ("log", "Log")], default="message")
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
