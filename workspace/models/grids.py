"""The playground: a saved grid of columns (prompt version, model, parameters) by inputs, and the cells where they meet.

A cell's answer is a `jobs.Generation`, like a chat's; this module keeps the rows.
"""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from jobs import notices
from workspace.models.examples import Example
from workspace.models.people import Team, User
from workspace.models.prompts import PromptVersion
from workspace.prompts import Message


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

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["grid", "position"], name="grid_column_once")]

    def __str__(self) -> str:
        return self.label or str(self.prompt_version or self.adapter or self.model)


class GridInput(models.Model):
    """One line of the grid: values for the variables, and the answer that is expected, if known."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    grid = models.ForeignKey(Grid, on_delete=models.CASCADE, related_name="inputs")
    position = models.PositiveIntegerField()
    values: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)
    expected = models.TextField(blank=True)
    row = models.ForeignKey("jobs.Row", on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["grid", "position"], name="grid_input_once")]

    def __str__(self) -> str:
        return f"Input {self.position + 1}"


class GridCell(models.Model):
    """One answer of one run. Without a generation, `problem` says why nothing was asked (a missing variable, say)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    column = models.ForeignKey(GridColumn, on_delete=models.CASCADE, related_name="cells")
    input = models.ForeignKey(GridInput, on_delete=models.CASCADE, related_name="cells")
    run = models.PositiveIntegerField()
    generation = models.OneToOneField("jobs.Generation", on_delete=models.PROTECT, null=True, related_name="+")
    problem = models.TextField(blank=True)

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
