"""Data sets, the files they came from, and their import."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.urls import reverse

from jobs.models.lifecycle import Job


class Split(models.TextChoices):
    TRAIN = "train", "Train"
    VALIDATION = "validation", "Validation"
    TEST = "test", "Test"


class StoredFile(models.Model):
    """An uploaded file, kept byte for byte under a name of our own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey("workspace.Team", on_delete=models.CASCADE, related_name="files")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    filename = models.CharField(max_length=200)
    purpose = models.CharField(max_length=20, default="fine-tune")
    bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.filename

    @property
    def key(self) -> str:
        """Its id on /v1/files."""
        return f"file-{self.pk.hex}"

    @property
    def path(self) -> Path:
        return Path(settings.STUDIO_HOME) / "files" / self.pk.hex[:2] / self.pk.hex


class DatasetQuerySet(models.QuerySet["Dataset"]):
    def for_team(self, team: Any) -> Self:
        return self.filter(team=team, archived_at=None)


class Dataset(models.Model):
    """Rows to learn from, sealed at import: what a run was trained on can always be looked up again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey("workspace.Team", on_delete=models.CASCADE, related_name="datasets")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    licence = models.CharField(max_length=120, blank=True)
    file = models.ForeignKey(StoredFile, on_delete=models.SET_NULL, null=True, related_name="datasets")
    sha256 = models.CharField(max_length=64, help_text="Over all rows and their splits, in order.")
    counts: models.JSONField[dict[str, int]] = models.JSONField(default=dict)  # split -> rows
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def get_absolute_url(self) -> str:
        return reverse("dataset", kwargs={"team": self.team.slug, "dataset_id": self.pk})


class Row(models.Model):
    """One example in canonical form: `messages` as OpenAI writes them, the last one the answer to learn."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField()
    split = models.CharField(max_length=10, choices=Split.choices)
    messages: models.JSONField[list[dict[str, str]]] = models.JSONField()
    line = models.PositiveIntegerField(null=True, help_text="Where it stood in the uploaded file.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dataset", "position"], name="row_position_once")]
        indexes = [models.Index(fields=["dataset", "split", "position"])]
        ordering = ["position"]

    def __str__(self) -> str:
        return f"Row {self.position}"


class Import(Job):
    """Reading an uploaded file into a data set: all of it, or nothing and a list of what is wrong."""

    MAX_PROBLEMS = 1000

    class Format(models.TextChoices):
        CHAT = "chat", "JSONL, OpenAI chat (messages)"
        COMPLETION = "completion", "JSONL, prompt and completion"
        CSV = "csv", "CSV with columns"

    team = models.ForeignKey("workspace.Team", on_delete=models.CASCADE, related_name="imports")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    file = models.ForeignKey(StoredFile, on_delete=models.CASCADE, related_name="imports")
    name = models.CharField(max_length=120)
    format = models.CharField(max_length=12, choices=Format.choices)
    mapping: models.JSONField[dict[str, str]] = models.JSONField(default=dict)  # csv: prompt, completion, system, split -> column
    shares: models.JSONField[dict[str, float]] = models.JSONField(default=dict)  # split -> share; empty: see datasets.default_shares
    skip_bad = models.BooleanField(default=False)
    rows_read = models.PositiveIntegerField(default=0)
    problems: models.JSONField[list[dict[str, Any]]] = models.JSONField(default=list)  # [{"line": 3, "reason": "..."}]
    problems_total = models.PositiveIntegerField(default=0)
    dataset = models.OneToOneField(Dataset, on_delete=models.SET_NULL, null=True, related_name="source")

    class Meta:
        ordering = ["-queued_at"]

    def __str__(self) -> str:
        return f"Import of {self.name}"

    def get_absolute_url(self) -> str:
        return reverse("import", kwargs={"team": self.team.slug, "import_id": self.pk})
