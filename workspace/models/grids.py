"""The playground: a saved grid of columns (prompt version, model, parameters) by inputs, and the cells where they meet.

A cell's answer is a `jobs.Generation`, like a chat's; this module keeps the rows. What a cell asks is grid_runs.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from django.db import models, transaction
from django.db.models import Count, Max, Min, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.urls import reverse

from jobs.models import Generation
from workspace.models.activity import Activity
from workspace.models.grid_cells import GridCell, GridCellQuerySet, GridColumn, GridInput
from workspace.models.grid_runs import ColumnAsker, union
from workspace.models.people import Team, User
from workspace.models.shared import Shared
from workspace.variables import Variable

MAX_COLUMNS, MAX_INPUTS, MAX_CELLS = 12, 500, 2000  # of one grid; cells of one run


class GridRefused(ValueError):
    """Something that a grid cannot take or do. The message is for the person who tried; nothing was stored."""


class GridQuerySet(models.QuerySet["Grid"]):
    def for_team(self, team: Team) -> Self:
        return self.filter(team=team, archived_at=None)

    def search(self, words: str) -> Self:
        """By name, and by the names of the prompts and models that are compared."""
        if not words:
            return self
        within = GridColumn.objects.filter(grid=OuterRef("pk")).filter(
            Q(label__icontains=words)
            | Q(prompt_version__prompt__name__icontains=words)
            | Q(model__name__icontains=words)
        )
        return self.filter(Q(name__icontains=words) | models.Exists(within))

    def counted(self) -> Self:
        """With the number of their columns and inputs."""
        return self.annotate(n_columns=count_of(GridColumn), n_inputs=count_of(GridInput))


def count_of(model: type[models.Model]) -> Coalesce:
    rows = model._default_manager.filter(grid=OuterRef("pk")).order_by().values("grid")
    return Coalesce(Subquery(rows.annotate(n=Count("pk")).values("n")), 0)


class Grid(Shared):
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
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)

    objects = GridQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]
        indexes = [models.Index(fields=["team", "-updated_at"])]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("grid", kwargs={"team": self.team.slug, "grid_id": self.pk})

    def copy(self, author: User) -> Grid:
        """The same columns and inputs in a new grid, without the answers."""
        with transaction.atomic():
            name = f"Copy of {self.name}"[:120]
            twin = Grid.objects.create(team=self.team, author=author, name=name, blind=self.blind, metric=self.metric)
            columns, inputs = list(self.columns.all()), list(self.inputs.all())
            for column in columns:
                column.pk, column.grid = uuid.uuid4(), twin
            for row in inputs:
                row.pk, row.grid = uuid.uuid4(), twin
            GridColumn.objects.bulk_create(columns)
            GridInput.objects.bulk_create(inputs)
            Activity.record(self.team_id, author, "created", twin, note=f"From {self.name}")
            return twin

    def adjust(self, **fields: Any) -> None:
        """Another name, blind mode, or measure: scores that were worked out by the old one go. Raises Archived."""
        with transaction.atomic():
            was = self.held().metric
            if fields.get("metric", was) != was:
                self.cells().exclude(score=None).update(score=None)
            self.change(**fields)

    # --- columns and inputs

    def add_column(self, *, after: GridColumn | None = None, **fields: Any) -> GridColumn:
        """One more column, at the end or right of `after`. Raises GridRefused and Archived."""
        with transaction.atomic():
            self.held()
            columns = list(self.columns.all())
            if len(columns) >= MAX_COLUMNS:
                raise GridRefused(f"A grid has at most {MAX_COLUMNS} columns. Remove one first, or copy the grid.")
            place = columns.index(after) + 1 if after in columns else len(columns)
            column = GridColumn(grid=self, position=place, **fields)
            column.save(force_insert=True)
            self.arrange([*columns[:place], column, *columns[place:]])
            return column

    def arrange(self, columns: Sequence[GridColumn]) -> None:
        """Put the columns into this order."""
        for position, column in enumerate(columns):
            column.position = position
        GridColumn.objects.bulk_update(columns, ["position"])
        self.change(updated_at=Now())

    def move_column(self, column: GridColumn, step: int) -> None:
        with transaction.atomic():
            self.held()
            columns = list(self.columns.all())
            if column not in columns:
                raise GridRefused("This column has been removed meanwhile.")
            at = columns.index(column)
            columns.insert(max(0, min(at + step, len(columns))), columns.pop(at))
            self.arrange(columns)

    def remove_column(self, column: GridColumn) -> None:
        """With its answers."""
        with transaction.atomic():
            self.held()
            column.delete()
            self.arrange(list(self.columns.all()))

    def add_inputs(
        self, values: Sequence[Mapping[str, Any]], *, expected: Sequence[str] = (), rows: Sequence[Any] = ()
    ) -> int:
        """Inputs at the end: their values, and for each the expected answer and the data set's row, where there is one.
        Returns how many. Raises GridRefused and Archived; then none is added."""
        with transaction.atomic():
            self.held()
            found = self.inputs.aggregate(n=Count("pk"), last=Max("position"))
            if found["n"] + len(values) > MAX_INPUTS:
                raise GridRefused(
                    f"A grid has at most {MAX_INPUTS} inputs: this one has {found['n']:,} and {len(values):,} would "
                    "come to it. Add fewer, or start a second grid."
                )
            start = -1 if found["last"] is None else found["last"]
            GridInput.objects.bulk_create(
                GridInput(
                    grid=self,
                    position=start + number,
                    values=dict(one),
                    expected=expected[number - 1] if expected else "",
                    row=rows[number - 1] if rows else None,
                )
                for number, one in enumerate(values, 1)
            )
            self.change(updated_at=Now())
        return len(values)

    def remove_inputs(self, inputs: models.QuerySet[GridInput]) -> None:
        """With their answers and votes."""
        with transaction.atomic():
            self.held()
            inputs.filter(grid=self).delete()
            self.change(updated_at=Now())

    # --- runs

    def runs(self, most: int = 50) -> list[dict[str, Any]]:
        """The latest runs: number, time and number of cells, newest first."""
        rows = self.cells().values("run").order_by("-run")
        return [dict(row) for row in rows.annotate(at=Min("created_at"), cells=Count("pk"))[:most]]

    def cancel(self) -> int:
        """Ask for every unfinished answer to be stopped. Returns how many there were."""
        cells = self.cells().unfinished()
        open_ = list(cells.values_list("generation", flat=True))
        asked = Generation.objects.filter(Q(pk__in=open_) | Q(repairs__in=open_)).request_cancel()
        self.change()
        return asked

    def cells(self) -> GridCellQuerySet:
        """Of all runs."""
        return GridCell.objects.filter(column__grid=self)

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

        A cell that cannot be asked says why in its `problem`; the others go ahead. Raises GridRefused and Archived.
        """
        chosen = None if columns is None else {column.pk for column in columns}
        wanted = None if inputs is None else {row.pk for row in inputs}
        with transaction.atomic():
            self.held()
            ready = list(self.ready_columns())
            asking = [column for column in ready if chosen is None or column.pk in chosen]
            rows = list(self.inputs.all() if wanted is None else self.inputs.filter(pk__in=wanted))
            return self.ask_cells(author, ready, [(column, row) for row in rows for column in asking])

    def run_missing(self, author: User) -> int:
        """Ask only the cells that have no answer yet: new ones, changed ones, and those that failed or were stopped."""
        with transaction.atomic():
            run = self.held().run  # pressed twice, the second finds the answers of the first on their way
            ready, rows = list(self.ready_columns()), list(self.inputs.all())
            done = GridCell.objects.as_of(self, run).select_related("column", "input", "generation")
            fine = {(cell.column_id, cell.input_id) for cell in done if cell.is_live or cell.is_answered}
            pairs = [(column, row) for row in rows for column in ready if (column.pk, row.pk) not in fine]
            if not pairs:
                raise GridRefused("Every cell has its answer. Run all to ask them again.")
            return self.ask_cells(author, ready, pairs)

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
            run, cells, requests = self.held().run + 1, [], []
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
