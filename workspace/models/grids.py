"""The playground: a saved grid of columns (prompt version, model, parameters) by inputs, and the cells where they meet.

A cell's answer is a `jobs.Generation`, like a chat's; this module keeps the rows. What a cell asks is grid_runs.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from jobs import notices
from jobs.models import Generation
from workspace.models.activity import Activity
from workspace.models.example import Example
from workspace.models.grid_runs import ColumnAsker, typed_variables, union
from workspace.models.people import Team, User
from workspace.models.prompts import PromptVersion
from workspace.prompts import Message
from workspace.variables import Variable

MAX_COLUMNS, MAX_INPUTS, MAX_CELLS = 12, 500, 2000  # of one grid; cells of one run


class GridRefused(ValueError):
    """Something that a grid cannot take or do. The message is for the person who tried; nothing was stored."""


class GridQuerySet(models.QuerySet["Grid"]):
    def for_team(self, team: Team) -> Self:
        return self.filter(team=team, archived_at=None)


class Grid(models.Model):
    """A saved comparison. `run` counts its runs: cells of earlier runs are kept. `blind` hides which column is which
    from everyone until they have voted."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="grids")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=120)
    blind = models.BooleanField(default=False)
    run = models.PositiveIntegerField(default=0)
    metric = models.CharField(max_length=20, blank=True)  # of workspace/scores.py; empty: none is chosen
    about: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # {"leave_one_out": set version id, ...}
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = GridQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]
        indexes = [models.Index(fields=["team", "-updated_at"])]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("grid", kwargs={"team": self.team.slug, "grid_id": self.pk})

    def variables(self) -> list[Variable]:
        """All that the inputs of this grid may fill in."""
        return union(self.ready_columns())

    def ready_columns(self) -> models.QuerySet[GridColumn]:
        """With all that showing or asking them takes."""
        return self.columns.select_related(
            "grid__team",
            "model",
            "adapter__base",
            "omit",
            "prompt_version__prompt__team",
            "prompt_version__examples__set",
        )

    def start_run(
        self,
        author: User,
        *,
        columns: Iterable[GridColumn] | None = None,
        inputs: Iterable[GridInput] | None = None,
    ) -> int:
        """Ask every cell of these columns and inputs (of all, unless said) anew, and return the run's number.

        A cell that cannot be asked says why in its `problem`; the others go ahead. Raises GridRefused.
        """
        chosen = None if columns is None else {column.pk for column in columns}
        with transaction.atomic():
            ready = list(self.ready_columns())
            asking = [column for column in ready if chosen is None or column.pk in chosen]
            rows = list(self.inputs.all() if inputs is None else inputs)
            return self.ask_cells(author, ready, [(column, row) for row in rows for column in asking])

    def ask_cells(
        self, author: User, columns: Sequence[GridColumn], pairs: Sequence[tuple[GridColumn, GridInput]]
    ) -> int:
        """A new run of just these cells, in this order. `columns` are all of the grid, from `ready_columns`."""
        if not pairs:
            raise GridRefused("There is nothing to run yet: a grid takes at least one column and one input.")
        if len(pairs) > MAX_CELLS:
            raise GridRefused(
                f"This run would have {len(pairs):,} cells; at most {MAX_CELLS:,} go into one run. "
                "Take some inputs or columns out, or run the columns one by one."
            )
        known = [variable.name for variable in union(columns)]
        askers = {column.pk: ColumnAsker(column, author, known) for column in dict.fromkeys(pair[0] for pair in pairs)}
        with transaction.atomic():
            held = Grid.objects.select_for_update().get(pk=self.pk)
            if held.archived_at:
                raise GridRefused("This grid is archived. Restore it to run it again.")
            run, cells, requests = held.run + 1, [], []
            for column, row in pairs:
                asked = askers[column.pk].ask(row.values)
                if asked.generation:
                    requests.append(asked.generation)
                cells.append(
                    GridCell(
                        column=column, input=row, run=run, generation=asked.generation, problem=asked.problem,
                        examples=asked.examples,
                    )
                )  # fmt: skip
            if requests:
                Generation.ask_all(requests)
            GridCell.objects.bulk_create(cells, batch_size=500)
            self.change(run=run, updated_at=Now())
            Activity.record(self.team_id, author, "ran", self, note=f"{len(cells)} cells")
        return run

    def change(self, **fields: Any) -> None:
        """Write these fields and no others, raise the version and tell the team."""
        Grid.objects.filter(pk=self.pk).update(version=F("version") + 1, **fields)
        self.refresh_from_db(fields=["version", *fields])
        notices.changed(self.team_id, "grid", self.pk, self.version)


class GridColumn(models.Model):
    """Who answers and how: a prompt version (or plain messages typed here), a model or adapter, parameters."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    grid = models.ForeignKey(Grid, on_delete=models.CASCADE, related_name="columns")
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

    def variables(self) -> list[Variable]:
        """What it takes to ask this column."""
        if self.prompt_version:
            return self.prompt_version.declared()
        return typed_variables(self.grid.team, self.messages)


class GridInput(models.Model):
    """One line of the grid: values for the variables, and the answer that is expected, if known."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    grid = models.ForeignKey(Grid, on_delete=models.CASCADE, related_name="inputs")
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


class GridCell(models.Model):
    """One answer of one run. Without a generation, `problem` says why nothing was asked (a missing variable, say);
    with one it is a remark (a value that no prompt uses)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    column = models.ForeignKey(GridColumn, on_delete=models.CASCADE, related_name="cells")
    input = models.ForeignKey(GridInput, on_delete=models.CASCADE, related_name="cells")
    run = models.PositiveIntegerField()
    generation = models.OneToOneField("jobs.Generation", on_delete=models.PROTECT, null=True, related_name="+")
    problem = models.TextField(blank=True)
    examples = ArrayField(models.UUIDField(), default=list, blank=True)  # the few-shot that it was asked with
    score = models.FloatField(null=True)  # against the expected answer, by the grid's metric; kept once worked out
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["column", "input", "run"], name="grid_cell_once"),
            models.CheckConstraint(
                condition=Q(generation__isnull=False) | ~Q(problem=""), name="grid_cell_answer_or_problem"
            ),
        ]

    def __str__(self) -> str:
        return f"Cell {self.pk}"


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
