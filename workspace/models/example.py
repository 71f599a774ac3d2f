"""One few-shot example: a question and its good answer, where it came from, and what people think of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import TrigramSimilarity
from django.db import models, transaction
from django.db.models import Avg, Count, OuterRef, Q, Subquery

from workspace.examples import Texts
from workspace.models.people import User

if TYPE_CHECKING:
    from workspace.models.examples import ExampleSet


class ExampleQuerySet(models.QuerySet["Example"]):
    def nearest(self, text: str) -> Self:
        """By trigram similarity of the input to `text` (pg_trgm), best first."""
        return self.annotate(similarity=TrigramSimilarity("input", text)).order_by("-similarity", "created_at")

    def rated(self, user: User) -> Self:
        """With the mean of everyone's stars, how many rated, and what `user` gave."""
        mine = ExampleRating.objects.filter(example=OuterRef("pk"), user=user).values("stars")
        return self.annotate(
            mean=Avg("ratings__stars"), people=Count("ratings", distinct=True), mine=Subquery(mine[:1])
        )

    @staticmethod
    def origins(newer: Sequence[uuid.UUID], older: Sequence[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
        """Edits among `newer` -> the example among `older` that each was made from, over any number of edits."""
        known = set(older)
        found: dict[uuid.UUID, uuid.UUID] = {}
        ahead = {pk: pk for pk in newer if pk not in known}
        while ahead:
            rows = Example.objects.filter(pk__in=ahead).exclude(replaces=None).values_list("pk", "replaces")
            step = {before: ahead[pk] for pk, before in rows if before}
            found |= {edit: before for before, edit in step.items() if before in known}
            ahead = {before: edit for before, edit in step.items() if before not in known}
        return found


class Example(models.Model):
    """One question and its good answer. Its texts never change: an edit makes a new one that `replaces` it."""

    class Source(models.TextChoices):
        TYPED = "typed", "Typed in"
        MESSAGE = "message", "Chat answer"
        CELL = "cell", "Playground cell"
        ROW = "row", "Data set row"
        IMPORT = "import", "Imported"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    set = models.ForeignKey("workspace.ExampleSet", on_delete=models.CASCADE, related_name="examples")
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

    @classmethod
    def of(cls, found: ExampleSet, author: User, texts: Texts, **fields: Any) -> Example:
        """Not stored yet."""
        values = dict(texts.values)
        return cls(set=found, author=author, input=texts.input, output=texts.output, values=values, **fields)

    @property
    def turns(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.input}, {"role": "assistant", "content": self.output}]

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

    @classmethod
    def rate(cls, example: Example, user: User, stars: int) -> None:
        """0 takes the person's rating back."""
        with transaction.atomic():
            if stars:
                cls.objects.update_or_create(example=example, user=user, defaults={"stars": stars})
            else:
                cls.objects.filter(example=example, user=user).delete()
            example.set.change()
