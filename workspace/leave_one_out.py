"""Which examples help: a prompt is asked a test set's questions with all of them, and again without each one.

It builds a playground grid (a column for all, one for every example left out) and reads the scores from its answers.
The answers are ordinary generations at temperature 0; it does not know how they are made.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import transaction

from jobs.models import Adapter, Dataset, LanguageModel, Row, State
from workspace import fewshot
from workspace.models import Example, Grid, GridCell, GridColumn, GridInput, PromptVersion, User
from workspace.prompts import PromptError
from workspace.remembered import remembered
from workspace.scores import METRICS, score

MAX_ROWS = 100
MAX_EXAMPLES = 24  # left out one by one; each is a column
MIN_ROWS = 8  # below it a bootstrap is far too sure of itself
RESAMPLES = 1000


@dataclass(frozen=True)
class Plan:
    """What one comparison asks, of whom and how it is scored. `variable` takes a row's question; `values` the others."""

    version: PromptVersion
    model: LanguageModel
    adapter: Adapter | None
    dataset: Dataset
    split: str
    rows: int
    metric: str
    max_tokens: int
    variable: str
    values: Mapping[str, str] = field(default_factory=dict)

    def questions(self) -> list[Row]:
        return list(Row.objects.filter(dataset=self.dataset, split=self.split).order_by("position")[: self.rows])

    def in_play(self, rows: Sequence[Row]) -> list[Example]:
        """The examples that the prompt takes for at least one of the rows, the most used first: leaving out another
        changes no question."""
        if self.version.examples is None:
            return []
        question, among = self.version.question(), self.version.examples.ordered()
        used: Counter[UUID] = Counter()
        by_id: dict[UUID, Example] = {}
        same_for_all = fewshot.Shots.from_dict(self.version.shots).how in ("fixed", "budget")
        for row in rows[:1] if same_for_all else rows:
            for example in self.version.choose_examples(
                row.prompt, question=question, count=self.model.prompt_tokens, among=among
            ):
                by_id[example.pk] = example
                used[example.pk] += 1
        return [by_id[pk] for pk, _ in used.most_common()]

    def start(self, author: User) -> Grid:
        """Build the grid and queue its answers. Raises PromptError for what cannot be compared."""
        version, rows = self.version, self.questions()
        if self.metric not in METRICS:
            raise PromptError("bad_value", "Choose a metric.", ["metric"])
        if not rows:
            raise PromptError("empty", "There are no rows in this part of the data set. Choose another.", ["rows"])
        examples = self.in_play(rows)
        if not examples:
            raise PromptError("empty", "This prompt version takes no example for these rows, so none can be left out.")
        params = {"temperature": 0, "max_tokens": self.max_tokens}
        version.render(self._values(rows[0]), count=self.model.prompt_tokens)  # says now what every cell would say
        with transaction.atomic():
            grid = Grid.objects.create(
                team=version.prompt.team,
                author=author,
                name=f"Leave one out: {version}"[:120],
                about={
                    "leave_one_out": str(version.examples_id),
                    "metric": self.metric,
                    "dataset": str(self.dataset.pk),
                    "split": self.split,
                    "not_tried": max(len(examples) - MAX_EXAMPLES, 0),
                },
            )
            place = {pk: number for number, pk in enumerate(version.examples.order if version.examples else [], 1)}
            tried = sorted(examples[:MAX_EXAMPLES], key=lambda example: place[example.pk])
            asked: dict[str, Any] = {"prompt_version": version, "model": self.model, "adapter": self.adapter}
            columns = [GridColumn(grid=grid, position=0, label="All examples", params=params, **asked)]
            columns += [
                GridColumn(
                    grid=grid, position=number, label=f"Without example {place[example.pk]}", params=params,
                    omit=example, **asked,
                )
                for number, example in enumerate(tried, 1)
            ]  # fmt: skip
            GridColumn.objects.bulk_create(columns)
            GridInput.objects.bulk_create(
                GridInput(grid=grid, position=number, values=self._values(row), expected=row.answer, row=row)
                for number, row in enumerate(rows)
            )
            grid.start_run(author)
            return grid

    def _values(self, row: Row) -> dict[str, str]:
        return {**self.values, self.variable: row.prompt}


@dataclass(frozen=True)
class Changed:
    """A row whose answer is another one without the example."""

    line: GridInput
    with_all: GridCell
    without: GridCell
    difference: float


@dataclass
class Effect:
    """What one example does: the mean scores with all examples and without it, over the rows where both are done."""

    example: Example | None
    label: str
    differences: list[float] = field(default_factory=list)
    with_all: float = 0.0
    without: float = 0.0
    changed: list[Changed] = field(default_factory=list)
    waiting: int = 0
    failed: int = 0

    @property
    def rows(self) -> int:
        return len(self.differences)

    @property
    def helps(self) -> float:
        """Positive: the answers are better with it."""
        return sum(self.differences) / self.rows if self.rows else 0.0

    @property
    def interval(self) -> tuple[float, float] | None:
        return bootstrap(tuple(self.differences)) if self.rows >= MIN_ROWS else None

    @property
    def verdict(self) -> str:
        """helps, hurts, same (no row's score changed), unclear (not enough rows to tell), or waiting."""
        if self.waiting or not self.rows:
            return "waiting" if self.waiting else "unclear"
        if not any(self.differences):
            return "same"
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return "unclear"
        return "helps" if self.helps > 0 else "hurts"


@dataclass
class Result:
    """All of a run, as far as it has come."""

    effects: list[Effect]
    cells: int
    done: int
    failed: int
    score: float | None  # with all examples

    @property
    def finished(self) -> bool:
        return self.done == self.cells


def read(grid: Grid) -> Result:
    """The latest run's scores, in three queries."""
    metric = str(grid.about.get("metric", "exact"))
    columns = list(grid.columns.select_related("omit"))
    inputs = list(grid.inputs.all())
    cells = {
        (cell.column_id, cell.input_id): cell
        for cell in GridCell.objects.filter(column__grid=grid, run=grid.run)
        .select_related("generation__repair")
        .defer("generation__messages", "generation__repair__messages")
    }
    expected = {line.pk: line.expected for line in inputs}
    names = {
        key: f"score:{metric}:{cell.pk}:{cell.reply.text_sha256[:16]}"
        for key, cell in cells.items()
        if key[1] in expected and cell.reply and cell.reply.state == State.SUCCEEDED
    }
    scores: dict[Any, float] = remembered(names, lambda key: score(metric, cells[key].text, expected[key[1]]))
    effects = []
    for column in columns[1:]:
        effect = Effect(column.omit, column.label)
        pairs = []
        for line in inputs:
            all_key, key = (columns[0].pk, line.pk), (column.pk, line.pk)
            if all_key in scores and key in scores:
                pairs.append((scores[all_key], scores[key]))
                effect.differences.append(scores[all_key] - scores[key])
                one, other = cells[all_key], cells[key]
                if one.text != other.text:
                    effect.changed.append(Changed(line, one, other, effect.differences[-1]))
            elif any(_waits(cells.get(one)) for one in (all_key, key)):
                effect.waiting += 1
            else:
                effect.failed += 1
        if pairs:
            effect.with_all = sum(pair[0] for pair in pairs) / len(pairs)
            effect.without = sum(pair[1] for pair in pairs) / len(pairs)
        effects.append(effect)
    of_all = [scores[key] for key in scores if columns and key[0] == columns[0].pk]
    done = sum(1 for cell in cells.values() if not _waits(cell))
    return Result(
        effects=effects,
        cells=len(cells),
        done=done,
        failed=done - len(scores),
        score=sum(of_all) / len(of_all) if of_all else None,
    )


def _waits(cell: GridCell | None) -> bool:
    return cell is not None and cell.is_live


@lru_cache(maxsize=1024)
def bootstrap(differences: tuple[float, ...]) -> tuple[float, float]:
    """The middle 95 % of the mean difference when rows are drawn again with replacement: a paired bootstrap (Koehn 2004).
    Seeded, so that a page shows the same figures each time."""
    draw = random.Random(0)  # noqa: S311 - figures to repeat, not a secret
    count = len(differences)
    means = sorted(sum(draw.choices(differences, k=count)) / count for _ in range(RESAMPLES))
    return means[round(0.025 * RESAMPLES)], means[round(0.975 * RESAMPLES) - 1]
