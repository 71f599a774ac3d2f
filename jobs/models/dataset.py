"""Data sets, the files they came from, and their import."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import models, transaction
from django.db.models import Value
from django.db.models.functions import MD5, Cast, Concat
from django.urls import reverse
from django.utils import timezone

from jobs import happenings
from jobs.models.lifecycle import Job, JobQuerySet


class Split(models.TextChoices):
    TRAIN = "train", "Train"
    VALIDATION = "validation", "Validation"
    TEST = "test", "Test"


class StoredFile(models.Model):
    """An uploaded file, kept byte for byte under a name of our own."""

    ATTACHED = "attachment"  # the purpose of a file that was brought into a conversation

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

    @classmethod
    def keep(cls, upload: UploadedFile[Any], *, team: Any, author: Any, purpose: str = "fine-tune") -> StoredFile:
        """Store an upload byte for byte; the row appears once the bytes are safely on disk."""
        file = cls(team=team, author=author, purpose=purpose, filename=(upload.name or "upload")[-200:])
        digest, size = hashlib.sha256(), 0
        file.path.parent.mkdir(parents=True, exist_ok=True)
        partial = file.path.with_suffix(".part")
        try:
            with partial.open("wb") as out:
                for chunk in upload.chunks():
                    digest.update(chunk)
                    size += len(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            partial.rename(file.path)
        finally:
            partial.unlink(missing_ok=True)
        file.bytes, file.sha256 = size, digest.hexdigest()
        file.save(force_insert=True)
        return file

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
    quality: models.JSONField[dict[str, Any] | None] = models.JSONField(null=True)  # jobs/datasets/quality.py
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("dataset", kwargs={"team": self.team.slug, "dataset_id": self.pk})

    def archive(self, by: Any, *, undo: bool = False) -> None:
        """Out of every list, or back again. Runs that used it keep it."""
        self.archived_at = None if undo else timezone.now()
        with transaction.atomic():
            self.save(update_fields=["archived_at"])
            happenings.tell(self, "restored" if undo else "archived", by.pk)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def split_counts(self) -> list[tuple[Split, int]]:
        return [(split, self.counts[split]) for split in Split if self.counts.get(split)]


class RowQuerySet(models.QuerySet["Row"]):
    def showing(self, split: str, text: str) -> Self:
        """The rows of a split (or of all) in which a text occurs, whatever its case."""
        rows = self.filter(split=split) if split else self
        # As it stands inside the stored JSON, where quotes and line ends are escaped.
        return rows.filter(messages__icontains=json.dumps(text, ensure_ascii=False)[1:-1]) if text else rows

    def drawn(self, count: int, seed: int | None) -> Self:
        """The first `count` rows, or with a seed some of all, always the same, in the order of the data set."""
        if seed is None:
            return self.order_by("position")[:count]
        lot = MD5(Concat(Cast("position", models.CharField()), Value(f":{seed}")))
        chosen = self.annotate(lot=lot).order_by("lot").values_list("pk", flat=True)[:count]
        return self.filter(pk__in=list(chosen)).order_by("position")


class Row(models.Model):
    """One example in canonical form: `messages` as OpenAI writes them, the last one the answer to learn."""

    # Without an index of its own: the constraint below has one that begins with it.
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="rows", db_index=False)
    position = models.PositiveIntegerField()
    split = models.CharField(max_length=10, choices=Split.choices)
    messages: models.JSONField[list[dict[str, str]]] = models.JSONField()
    line = models.PositiveIntegerField(null=True, help_text="Where it stood in the uploaded file.")
    source = models.CharField(max_length=64, blank=True, help_text="What it was made from, such as cell:<id>.")

    objects = RowQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dataset", "position"], name="row_position_once")]
        indexes = [models.Index(fields=["dataset", "split", "position"])]
        ordering = ["position"]

    def __str__(self) -> str:
        return f"Row {self.position + 1}"

    @property
    def split_name(self) -> str:
        """get_split_display without its search through the choices, which a window of a hundred rows notices."""
        return Split(self.split).label

    @property
    def prompt(self) -> str:
        """What the answer answers: the last question."""
        return self.messages[-2]["content"] if len(self.messages) > 1 else ""

    @property
    def answer(self) -> str:
        return str(self.messages[-1]["content"])

    @property
    def cell_id(self) -> str:
        """The playground cell that it was made from, if it was."""
        kind, _, key = self.source.partition(":")
        return key if kind == "cell" else ""

    @property
    def earlier(self) -> int:
        """Messages before the last question."""
        return max(len(self.messages) - 2, 0)


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
    mapping: models.JSONField[dict[str, str]] = models.JSONField(
        default=dict
    )  # csv: prompt, completion, system, split -> column
    shares: models.JSONField[dict[str, float]] = models.JSONField(
        default=dict
    )  # split -> share; empty: the file's own split, or the default
    skip_bad = models.BooleanField(default=False)
    rows_read = models.PositiveIntegerField(default=0)
    problems: models.JSONField[list[dict[str, Any]]] = models.JSONField(default=list)  # [{"line": 3, "reason": "..."}]
    problems_total = models.PositiveIntegerField(default=0)
    dataset = models.OneToOneField(Dataset, on_delete=models.SET_NULL, null=True, related_name="source")

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-queued_at"]

    def __str__(self) -> str:
        return f"Import of {self.name}"

    def verdict(self) -> str:
        """Why nothing was imported, with the first of the bad lines."""
        if not self.problems_total:
            return f"{self.file.filename} was not read: {self.message or 'its import was cancelled.'}"
        shown = "; ".join(f"line {problem['line']}: {problem['reason']}" for problem in self.problems[:5])
        more = f" and {self.problems_total - 5:,} more" if self.problems_total > 5 else ""
        return f"{self.file.filename} cannot be used as it is. {shown}{more}. Correct these lines and upload the file again."

    def get_absolute_url(self) -> str:
        return reverse("import", kwargs={"team": self.team.slug, "import_id": self.pk})
