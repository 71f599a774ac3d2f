"""What a grid is made of: columns, inputs, the cells where they meet, and the votes on them. The grid is grids.py."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

from jobs.models import Generation, State
from jobs.models.lifecycle import FINAL
from workspace.models.example import Example
from workspace.models.feedback import Feedback
from workspace.models.grid_runs import typed_variables
from workspace.models.people import User
from workspace.models.prompt_versions import PromptVersion
from workspace.prompts import Message
from workspace.variables import Variable

if TYPE_CHECKING:
    from workspace.models.grids import Grid


class GridColumn(models.Model):
    """Who answers and how: a prompt version (or plain messages typed here), a model or adapter, parameters."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    grid = models.ForeignKey("workspace.Grid", on_delete=models.CASCADE, related_name="columns")
    position = models.PositiveSmallIntegerField()
    label = models.CharField(max_length=120, blank=True)
    prompt_version = models.ForeignKey(PromptVersion, on_delete=models.PROTECT, null=True, related_name="+")
    messages: models.JSONField[list[Message]] = models.JSONField(default=list)  # where there is no prompt version
    model = models.ForeignKey("jobs.LanguageModel", on_delete=models.PROTECT, related_name="+")
    adapter = models.ForeignKey("jobs.Adapter", on_delete=models.SET_NULL, null=True, related_name="+")
    params: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # SamplingParams fields
    omit = models.ForeignKey(
        Example, on_delete=models.SET_NULL, null=True, related_name="+"
    )  # left out of the few-shot
    changed_at = models.DateTimeField(auto_now_add=True)  # cells from before this were asked otherwise

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["grid", "position"], name="grid_column_once", deferrable=models.Deferrable.DEFERRED
            )
        ]

    def __str__(self) -> str:
        return self.label or str(self.prompt_version or self.adapter or self.model)

    @property
    def params_shown(self) -> list[str]:
        """The parameters that differ from the usual, in words."""
        words = {"max_tokens": "at most {} tokens", "stop": "stops at {}"}
        shown = []
        for name, value in self.params.items():
            text = ", ".join(map(repr, value)) if isinstance(value, list) else f"{value:g}"
            shown.append(words.get(name, name.replace("_", " ") + " {}").format(text))
        return shown

    def variables(self) -> list[Variable]:
        """What it takes to ask this column."""
        if self.prompt_version:
            return self.prompt_version.declared()
        return typed_variables(self.grid.team, self.messages)

    def rewrite(self, **fields: Any) -> None:
        """Answers from before stay, marked as older; a new name alone makes nothing old. Raises Archived."""
        same = all(getattr(self, name) == value for name, value in fields.items() if name != "label")
        with transaction.atomic():
            self.grid.held()
            GridColumn.objects.filter(pk=self.pk).update(**fields, **({} if same else {"changed_at": Now()}))
            self.grid.change(updated_at=Now())


class GridInput(models.Model):
    """One line of the grid: values for the variables, and the answer that is expected, if known."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    grid = models.ForeignKey("workspace.Grid", on_delete=models.CASCADE, related_name="inputs")
    position = models.PositiveIntegerField()
    values: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)
    expected = models.TextField(blank=True)
    row = models.ForeignKey("jobs.Row", on_delete=models.SET_NULL, null=True, related_name="+")
    changed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["grid", "position"], name="grid_input_once", deferrable=models.Deferrable.DEFERRED
            )
        ]

    def __str__(self) -> str:
        return f"Input {self.position + 1}"

    def rewrite(self, values: Mapping[str, Any], expected: str) -> None:
        """Answers from before stay, marked as older if a value is another; scores against another answer than was
        expected go. Raises Archived."""
        with transaction.atomic():
            self.grid.held()
            changed = {} if values == self.values else {"changed_at": Now()}
            GridInput.objects.filter(pk=self.pk).update(values=values, expected=expected, **changed)
            if expected != self.expected:
                self.cells.exclude(score=None).update(score=None)
            self.grid.change(updated_at=Now())


class GridCellQuerySet(models.QuerySet["GridCell"]):
    def as_of(self, grid: Grid, run: int) -> Self:
        """The grid as it stood after `run`: of each column and input the newest cell up to then."""
        newest = self.filter(column__grid=grid, run__lte=run).order_by("column_id", "input_id", "-run")
        return self.filter(pk__in=newest.distinct("column_id", "input_id").values("pk"))

    def unfinished(self) -> Self:
        return self.filter(generation__isnull=False).exclude(GridCell.ENDED)

    def good(self) -> Self:
        """Those that someone found good, or put right."""
        liked = Feedback.objects.filter(Q(thumb=1) | ~Q(correction=""), generation=models.OuterRef("generation"))
        return self.filter(models.Exists(liked))

    def loaded(self) -> Self:
        """With what showing them takes; what was asked is left in the database."""
        rows = self.select_related("generation__model", "generation__adapter", "generation__repair")
        return rows.defer("generation__messages", "generation__repair__messages")


class GridCell(models.Model):
    """One answer of one run. Without a generation, `problem` says why nothing was asked (a missing variable, say);
    with one it is a remark (a value that no prompt uses)."""

    # Of those that were asked: the answer is final, and so is its repair if it has one.
    ENDED: ClassVar[Q] = Q(generation__state__in=FINAL) & (
        Q(generation__repair=None) | Q(generation__repair__state__in=FINAL)
    )

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    column = models.ForeignKey(GridColumn, on_delete=models.CASCADE, related_name="cells")
    input = models.ForeignKey(GridInput, on_delete=models.CASCADE, related_name="cells")
    run = models.PositiveIntegerField()
    generation = models.OneToOneField("jobs.Generation", on_delete=models.PROTECT, null=True, related_name="+")
    problem = models.TextField(blank=True)
    examples = ArrayField(models.UUIDField(), default=list, blank=True)  # the few-shot that it was asked with
    score = models.FloatField(null=True)  # against the expected answer, by the grid's metric; kept once worked out
    created_at = models.DateTimeField(auto_now_add=True)

    objects = GridCellQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["column", "input", "run"], name="grid_cell_once"),
            models.CheckConstraint(
                condition=Q(generation__isnull=False) | ~Q(problem=""), name="grid_cell_answer_or_problem"
            ),
        ]

    def __str__(self) -> str:
        return f"Cell {self.pk}"

    def get_absolute_url(self) -> str:
        """Finds its grid and opens there."""
        return reverse("cell", kwargs={"team": self.column.grid.team.slug, "cell_id": self.pk})

    @property
    def reply(self) -> Generation | None:
        """The generation whose words count: the one that was asked, or the repair of its JSON."""
        return self.generation.latest if self.generation else None

    @property
    def state(self) -> str:
        """The reply's state, or `problem` where nothing could be asked."""
        return self.reply.state if self.reply else "problem"

    @property
    def is_live(self) -> bool:
        return self.reply is not None and not self.reply.is_final

    @property
    def is_answered(self) -> bool:
        """It has an answer that stands for its column and input as they are."""
        return self.state == State.SUCCEEDED and not self.is_stale

    @property
    def text(self) -> str:
        return self.reply.text if self.reply else ""

    @property
    def is_stale(self) -> bool:
        """Asked before its column or its input was changed."""
        return self.created_at < max(self.column.changed_at, self.input.changed_at)

    @property
    def first_token_seconds(self) -> float | None:
        first = self.reply.first_token_ms if self.reply else None
        return None if first is None else first / 1000

    @property
    def total_seconds(self) -> float | None:
        total = self.reply.total_ms if self.reply else None
        return None if total is None else total / 1000

    def correction(self) -> str:
        """The newest correction that anyone has written of its answer."""
        found = Feedback.objects.filter(generation=self.generation_id).exclude(correction="").first()
        return found.correction if found else ""


class GridVote(models.Model):
    """One person's choice among the answers to one input; no column is a tie."""

    input = models.ForeignKey(GridInput, on_delete=models.CASCADE, related_name="votes")
    run = models.PositiveIntegerField()
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    column = models.ForeignKey(GridColumn, on_delete=models.CASCADE, null=True, related_name="votes")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["input", "run", "user"], name="grid_vote_once")]

    def __str__(self) -> str:
        return f"Vote of {self.user}"
