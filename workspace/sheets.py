"""A grid as one person sees it: rows of cells as they stood after a run, with what is known about each.

In blind mode a row's answers come shuffled for this person and without names, numbers or ids until they have voted on
it, and only once all of them are there: the pace of an answer gives its column away too. It changes nothing but the
scores that it works out on the way; what a page looks like is the templates'.
"""

from __future__ import annotations

import hashlib
import hmac
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db.models import Avg, Count, F, Max, Min, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from jobs.models import Generation, State
from workspace.models import Feedback, Grid, GridCell, GridColumn, GridInput, GridVote, User
from workspace.models.grid_cells import GridCellQuerySet
from workspace.scores import score

WINDOW = 25  # rows sent at once
SCORED_AT_ONCE = 1000
LONGEST = 2000  # characters of an answer in the sheet; the panel has all


@dataclass
class Slot:
    """One place in a row. `column` is None where this person may not know it yet; then the cell is not shown either,
    only its `text`."""

    number: int
    cell: GridCell | None
    column: GridColumn | None
    text: str = ""
    place: int = 0  # in the queue, 1 is next
    thumb: int | None = None  # this person's
    corrected: bool = False


@dataclass
class SheetRow:
    input: GridInput
    run: int  # of its newest cell: what a vote is about
    slots: list[Slot]
    hidden: bool
    vote: GridVote | None = None
    votes: Counter[UUID | None] = field(default_factory=Counter)  # of everyone, once not hidden
    fields: list[tuple[str, str]] = field(default_factory=list)  # the values, in the order of the grid's variables
    unused: list[str] = field(default_factory=list)  # values that no column knows

    @property
    def cells(self) -> list[GridCell]:
        return [slot.cell for slot in self.slots if slot.cell]

    @property
    def ended(self) -> int:
        return sum(not cell.is_live for cell in self.cells)

    @property
    def is_ready(self) -> bool:
        """All answers are there, so that one can choose."""
        return bool(self.cells) and self.ended == len(self.cells)


@dataclass(frozen=True)
class Progress:
    total: int
    open: int
    failed: int
    stopped: int
    unasked: int
    seconds_left: float | None

    @property
    def done(self) -> int:
        return self.total - self.open


class Sheet:
    def __init__(self, grid: Grid, viewer: User, run: int | None = None) -> None:
        self.grid, self.viewer = grid, viewer
        self.run = run if run and 0 < run < grid.run else grid.run
        self.columns = list(grid.ready_columns())
        self.known = list(dict.fromkeys(one.name for column in self.columns for one in column.variables()))

    @property
    def is_latest(self) -> bool:
        return self.run == self.grid.run

    @property
    def blind(self) -> bool:
        return self.grid.blind and len(self.columns) > 1

    @cached_property
    def total(self) -> int:
        return self.grid.inputs.count()

    @property
    def cells(self) -> GridCellQuerySet:
        return GridCell.objects.as_of(self.grid, self.run)

    # --- rows

    def window(self, start: int = 0) -> list[SheetRow]:
        return self.rows(list(self.grid.inputs.all()[start : start + WINDOW]))

    def rows(self, inputs: Sequence[GridInput]) -> list[SheetRow]:
        """The rows of these inputs. The number of queries is the same for any number of them."""
        cells = self._cells_of(inputs)
        generations = [cell.generation_id for cell in cells.values() if cell.generation_id]
        votes = list(GridVote.objects.filter(input__in=inputs, run__lte=self.run).select_related("column"))
        opinions = Feedback.objects.filter(generation__in=generations)
        feedback = list(opinions.values_list("generation_id", "user_id", "thumb", "correction"))
        places = self._places() if any(cell.state == State.QUEUED for cell in cells.values()) else {}
        return [self._row(one, cells, votes, feedback, places) for one in inputs]

    def row(self, one: GridInput) -> SheetRow:
        return self.rows([one])[0]

    def _cells_of(self, inputs: Sequence[GridInput]) -> dict[tuple[UUID, UUID], GridCell]:
        columns = {column.pk: column for column in self.columns}
        rows = {one.pk: one for one in inputs}
        cells = {}
        for cell in self.cells.filter(input__in=inputs).loaded():
            cell.column, cell.input = columns[cell.column_id], rows[cell.input_id]
            cells[cell.input_id, cell.column_id] = cell
        self._score(list(cells.values()))
        return cells

    def _row(self, one: GridInput, cells: Any, votes: list[GridVote], feedback: list[Any], places: Any) -> SheetRow:
        pairs = [(column, cells.get((one.pk, column.pk))) for column in self.columns]
        run = max((cell.run for _, cell in pairs if cell), default=0)
        cast = [vote for vote in votes if vote.input_id == one.pk and vote.run == run]
        mine = next((vote for vote in cast if vote.user_id == self.viewer.pk), None)
        hidden = self.blind and mine is None
        if self.blind:
            pairs = self._order(one, run, pairs)
        slots = [Slot(number, cell, column) for number, (column, cell) in enumerate(pairs, 1)]
        for slot in slots:
            if slot.cell:
                slot.text = slot.cell.text if hidden else slot.cell.text[:LONGEST]
            if hidden:
                slot.column = None
            elif slot.cell and slot.cell.generation_id:
                key = slot.cell.generation_id
                slot.place = places.get(key, 0)
                about = [opinion for opinion in feedback if opinion[0] == key]
                slot.thumb = next((thumb for _, user, thumb, _ in about if user == self.viewer.pk), None)
                slot.corrected = any(correction for *_, correction in about)
        names = sorted(one.values, key=lambda name: self.known.index(name) if name in self.known else len(self.known))
        fields = [(name, str(one.values[name])) for name in names]
        unused = [name for name in names if name not in self.known] if self.known else []
        counts = Counter() if hidden else Counter(vote.column_id for vote in cast)
        return SheetRow(one, run, slots, hidden, mine, counts, fields, unused)

    def _order(self, one: GridInput, run: int, pairs: list[Any]) -> list[Any]:
        return shuffled(pairs, settings.SECRET_KEY, "blind", self.viewer.pk, one.pk, run)

    def _places(self) -> dict[UUID, int]:
        """Where the queued cells stand among all that wait for an answer."""
        ours = set(self.cells.filter(generation__state=State.QUEUED).values_list("generation_id", flat=True))
        waiting = Generation.objects.filter(state=State.QUEUED)
        ranked = waiting.annotate(place=Window(RowNumber(), order_by=[F("queued_at").asc(), F("pk").asc()]))
        return {key: place for key, place in ranked.values_list("pk", "place") if key in ours}

    # --- the whole

    def progress(self) -> Progress:
        asked = Q(generation__isnull=False)
        ended = asked & GridCell.ENDED
        counts = self.cells.aggregate(
            total=Count("pk"),
            open=Count("pk", filter=asked & ~GridCell.ENDED),
            failed=Count("pk", filter=Q(generation__state=State.FAILED) | Q(generation__repair__state=State.FAILED)),
            stopped=Count("pk", filter=Q(generation__state=State.CANCELLED)),
            unasked=Count("pk", filter=~asked),
            answered=Count("pk", filter=ended & Q(run=self.run, generation__started_at__isnull=False)),
            since=Min("generation__started_at", filter=Q(run=self.run)),
        )
        answered, since = counts.pop("answered"), counts.pop("since")
        return Progress(**counts, seconds_left=time_left(counts["open"], answered, since))

    def revealed(self) -> Q:
        """Which cells this person may have figures about."""
        return Q(input__in=[key for key, _ in self._seen_votes()]) if self.blind else Q()

    def means(self) -> dict[UUID, dict[str, Any]]:
        """Of each column, over the cells that this person may know about."""
        if self.grid.metric:
            missing = self.cells.filter(score=None, generation__state=State.SUCCEEDED).exclude(input__expected="")
            self._score(list(missing.select_related("generation__repair", "input")[:SCORED_AT_ONCE]))
        rows = self.cells.filter(self.revealed()).values("column").order_by()
        figures = rows.annotate(
            mean=Avg("score"),
            scored=Count("score"),
            first=Avg("generation__first_token_ms"),
            total=Avg("generation__total_ms"),
            tokens=Avg("generation__completion_tokens", filter=Q(generation__state=State.SUCCEEDED)),
        )
        return {
            row["column"]: {
                **row,
                "score": row["mean"],
                "first": None if row["first"] is None else row["first"] / 1000,
                "total": None if row["total"] is None else row["total"] / 1000,
            }
            for row in figures
        }

    def tally(self) -> Counter[UUID | None]:
        """Votes for each column and for none; in blind mode only on inputs that this person has voted on."""
        counts = Counter[UUID | None]()
        seen = set(self._seen_votes()) if self.blind else None
        for key, run, column in self._votes().values_list("input_id", "run", "column_id"):
            if seen is None or (key, run) in seen:
                counts[column] += 1
        return counts

    @cached_property
    def _runs(self) -> dict[UUID, int]:
        """The newest run of each input's cells."""
        return dict(self.cells.values("input").order_by().annotate(newest=Max("run")).values_list("input", "newest"))

    def _votes(self) -> QuerySet[GridVote]:
        pairs = Counter(self._runs.values())
        by_run = [Q(run=run, input__in=[key for key, its in self._runs.items() if its == run]) for run in pairs]
        wanted = Q(pk__in=[])
        for one in by_run:
            wanted |= one
        return GridVote.objects.filter(wanted)

    def _seen_votes(self) -> list[tuple[UUID, int]]:
        return list(self._votes().filter(user=self.viewer).values_list("input_id", "run"))

    def _score(self, cells: list[GridCell]) -> None:
        """Work out and keep the scores that are missing."""
        if not self.grid.metric:
            return
        fresh = []
        for cell in cells:
            if cell.score is None and cell.state == State.SUCCEEDED and cell.input.expected:
                cell.score = score(self.grid.metric, cell.text, cell.input.expected)
                fresh.append(cell)
        if fresh:
            GridCell.objects.bulk_update(fresh, ["score"])


def time_left(left: int, answered: int, since: datetime | None) -> float | None:
    """Seconds, at the pace so far; None before there is a pace."""
    if not left or not answered or not since:
        return None
    return max((timezone.now() - since).total_seconds(), 0.1) / answered * left


T = TypeVar("T")


def shuffled(items: Sequence[T], secret: str, *about: object) -> list[T]:
    """The items in an order that is always the same for what it is about, and cannot be worked out without the secret."""
    seed = hmac.new(secret.encode(), "|".join(map(str, about)).encode(), hashlib.sha256).hexdigest()
    drawn = list(items)
    random.Random(seed).shuffle(drawn)  # noqa: S311 - the seed is the secret part
    return drawn
