"""Few-shot examples: sets that prompts share, in immutable versions. How they are chosen is workspace/fewshot.py."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import TrigramSimilarity
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from jobs import notices
from workspace.models.activity import Activity
from workspace.models.people import Team, User

MAX_EXAMPLES = 2000  # in one set


class ExampleSetQuerySet(models.QuerySet["ExampleSet"]):
    def for_team(self, team: Team) -> Self:
        return self.filter(team=team, archived_at=None)


class ExampleSet(models.Model):
    """An ordered set of examples, shared by prompts. What it holds is in its versions."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="example_sets")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True, max_length=2000)
    latest = models.PositiveIntegerField(default=0)
    version = models.PositiveIntegerField(default=1)  # grows with every change, for notices
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = ExampleSetQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "name"], condition=Q(archived_at=None), name="example_set_name_once"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("example_set", kwargs={"team": self.team.slug, "set_id": self.pk})

    @classmethod
    def start(cls, *, team: Team, author: User, name: str, description: str = "") -> ExampleSet:
        """An empty set, at version 1. Raises IntegrityError for a name that is taken."""
        with transaction.atomic():
            found = cls.objects.create(team=team, author=author, name=name, description=description)
            found.save_version(author, [], note="Started")
            return found

    @property
    def newest(self) -> ExampleSetVersion:
        return self.versions.get(number=self.latest)

    def save_version(self, author: User, order: Sequence[uuid.UUID], *, note: str = "") -> ExampleSetVersion:
        """The next version: these examples of this set, in this order."""
        with transaction.atomic():
            held = ExampleSet.objects.select_for_update().get(pk=self.pk)
            version = ExampleSetVersion.objects.create(
                set=held, number=held.latest + 1, author=author, order=list(order), note=note[:300]
            )
            ExampleSet.objects.filter(pk=self.pk).update(
                latest=version.number, version=F("version") + 1, updated_at=Now()
            )
            self.refresh_from_db(fields=["latest", "version", "updated_at"])
            notices.changed(self.team_id, "examples", self.pk, self.version)
            Activity.record(self.team_id, author, "saved", self, note=note)
            return version

    def add(self, author: User, *, input: str, output: str, note: str = "", **fields: Any) -> Example:
        """One more example at the end, as a new version. `fields`: values, source_kind, source_id."""
        with transaction.atomic():
            held = ExampleSet.objects.select_for_update().get(pk=self.pk)
            example = Example.objects.create(set=held, author=author, input=input, output=output, **fields)
            order = held.newest.order if held.latest else []
            self.save_version(author, [*order, example.pk], note=note or "Added an example")
            return example


class ExampleSetVersion(models.Model):
    """Which examples, in which order. Never changes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    set = models.ForeignKey(ExampleSet, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=300, blank=True)
    order = ArrayField(models.UUIDField(), default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["set", "number"], name="example_set_version_once")]

    def __str__(self) -> str:
        return f"{self.set.name} v{self.number}"

    def ordered(self) -> list[Example]:
        rows = Example.objects.in_bulk(self.order)
        return [rows[pk] for pk in self.order if pk in rows]


class ExampleQuerySet(models.QuerySet["Example"]):
    def nearest(self, text: str) -> Self:
        """By trigram similarity of the input to `text` (pg_trgm), best first."""
        return self.annotate(similarity=TrigramSimilarity("input", text)).order_by("-similarity", "created_at")


class Example(models.Model):
    """One question and its good answer. Its texts never change: an edit makes a new one that `replaces` it."""

    class Source(models.TextChoices):
        TYPED = "typed", "Typed in"
        MESSAGE = "message", "Chat answer"
        CELL = "cell", "Playground cell"
        ROW = "row", "Data set row"
        IMPORT = "import", "Imported"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    set = models.ForeignKey(ExampleSet, on_delete=models.CASCADE, related_name="examples")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    input = models.TextField(max_length=100_000)
    output = models.TextField(max_length=100_000)
    values: models.JSONField[dict[str, str]] = models.JSONField(default=dict, blank=True)  # variable -> text
    source_kind = models.CharField(max_length=10, choices=Source.choices, default=Source.TYPED)
    source_id = models.CharField(max_length=64, blank=True)
    replaces = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ExampleQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        indexes = [GinIndex(fields=["input"], opclasses=["gin_trgm_ops"], name="example_input_trigrams")]

    def __str__(self) -> str:
        return self.input[:60]

    @property
    def characters(self) -> int:
        return len(self.input) + len(self.output)


class ExampleRating(models.Model):
    """What one person thinks of an example: 1 to 5."""

    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="ratings")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    stars = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["example", "user"], name="example_rating_once"),
            models.CheckConstraint(condition=Q(stars__range=(1, 5)), name="example_rating_1_to_5"),
        ]

    def __str__(self) -> str:
        return f"{self.stars} of 5"
