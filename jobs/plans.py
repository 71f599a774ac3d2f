"""What a run would take on this team's workers, before it starts: for the form, in the web process, without torch.

Rows are tokenised once per data set and template; of a large data set evenly chosen rows stand for all. It does not know
forms, and leaves the arithmetic of time and memory to jobs.ml.plan.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

from django.core.cache import cache
from django.db.models.functions import Mod

from jobs.ml.config import TrainConfig, default_learning_rate
from jobs.ml.plan import Plan, expected_speed, plan
from jobs.ml.template import TemplateMismatch, load_template
from jobs.models import Dataset, FineTune, LanguageModel, Row, Split, State, Worker

SAMPLE = 2000
KEPT_SECONDS = 7 * 24 * 3600
ACCELERATOR = 60  # times as fast as a core or two; a guess until the first run on it has been measured


class NotPossible(ValueError):
    """There is nothing to plan; the message says why and what to do."""


@dataclass(frozen=True)
class Measured:
    """Rows in tokens. `first` is, for each choice of what carries loss, where in the row that begins."""

    tokens: list[int]
    first: dict[str, list[int]]
    rows: int  # that the measured ones stand for

    def all_tokens(self) -> list[int]:
        return self._spread(self.tokens)

    def without_loss(self, config: TrainConfig) -> int:
        """Rows in which nothing is left to learn once they are cut."""
        starts = self.first[config.loss_on]
        return sum(
            max(start, 1) >= min(length, config.max_length)
            for start, length in zip(self._spread(starts), self.all_tokens(), strict=True)
        )

    def percentile(self, share: float) -> int:
        ordered = sorted(self.tokens)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0

    def _spread(self, values: Sequence[int]) -> list[int]:
        return [values[i * len(values) // self.rows] for i in range(self.rows)] if values else []


@dataclass(frozen=True)
class Check:
    """The plan of a run and what to say about it. With a refusal it cannot start."""

    plan: Plan
    rows: int
    measured: int
    speed: float
    speed_from: str
    workers: int
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def memory_share(self) -> float:
        return self.plan.memory_bytes / self.plan.memory_total if self.plan.memory_total else 0.0

    @property
    def memory_over(self) -> bool:
        return self.memory_share > 1

    @property
    def cut_share(self) -> float:
        return (self.plan.cut_rows + self.plan.dropped_rows) / self.rows if self.rows else 0.0

    def to_dict(self) -> dict[str, Any]:
        """What is kept with the run."""
        return {**dataclasses.asdict(self.plan), "rows": self.rows, "tokens_per_second": round(self.speed, 1)}


@dataclass(frozen=True)
class Prospect:
    """A base and a data set that might come together."""

    base: LanguageModel
    dataset: Dataset

    def check(self, config: TrainConfig) -> Check:
        train, validation = self.train, self.validation
        worker = self._worker
        speed, speed_from = self._speed(worker)
        facts = worker.facts if worker else {}
        made = plan(
            train.all_tokens(),
            config,
            model_dir=self.base.path,
            tokens_per_second=speed,
            memory_total=facts.get("memory_bytes", 0),
            validation_lengths=validation.all_tokens(),
            probes=FineTune.PROBES,
            threads=facts.get("threads") or 1,
            accelerator=facts.get("device") == "cuda",
        )
        without = train.without_loss(config)
        refusals = [] if made.steps else list(made.warnings)
        warnings = list(made.warnings) if made.steps else []
        if made.steps and without >= train.rows:
            refusals.append(
                f"In no row is anything left to learn: all answers begin after {config.max_length} tokens. Raise the maximum length."
            )
        elif without:
            warnings.append(
                f"{without:,} of {train.rows:,} rows have nothing to learn within {config.max_length} tokens and are left out."
            )
        workers = Worker.objects.alive().filter(kind="train").count()
        return Check(made, train.rows, len(train.tokens), speed, speed_from, workers, refusals, warnings)

    def suggestions(self) -> dict[str, Any]:
        """What the form offers for this pair."""
        rows = self.dataset.counts.get(Split.TRAIN, 0)
        longest = self.train.percentile(0.99) if rows else 0
        return {
            "epochs": 3 if rows < 1000 else 2 if rows < 10_000 else 1,
            "learning_rate": default_learning_rate(self.base.parameters),
            "max_length": min(max(64, -(-longest // 64) * 64), self.base.context_length),
        }

    @cached_property
    def train(self) -> Measured:
        return self._measure(Split.TRAIN)

    @cached_property
    def validation(self) -> Measured:
        return self._measure(Split.VALIDATION)

    def _measure(self, split: Split) -> Measured:
        rows = self.dataset.counts.get(split, 0)
        template = _template(self.base)
        key = f"lengths:{self.dataset.sha256}:{template.hash}:{split}"
        if known := cache.get(key):
            return Measured(**json.loads(known))
        chosen = Row.objects.filter(dataset=self.dataset, split=split).order_by("position")
        if (stride := -(-rows // SAMPLE)) > 1:
            chosen = chosen.annotate(phase=Mod("position", stride)).filter(phase=0)
        tokens: list[int] = []
        first: dict[str, list[int]] = {"assistant": [], "last": [], "all": []}
        for (messages,) in chosen.values_list("messages"):
            try:
                encoded = template.encode(messages)
                # With a single answer, the last is the first, and most rows have one.
                single = sum(message["role"] == "assistant" for message in messages) == 1
                last = encoded if single else template.encode(messages, loss_on="last")
            except TemplateMismatch as error:
                raise NotPossible(f"The rows do not fit the chat template of {self.base}. {error}") from error
            tokens.append(len(encoded.ids))
            first["assistant"].append(encoded.mask.index(True))
            first["last"].append(last.mask.index(True))
            first["all"].append(0)
        cache.set(key, json.dumps({"tokens": tokens, "first": first, "rows": rows}), KEPT_SECONDS)
        return Measured(tokens, first, rows)

    @cached_property
    def _worker(self) -> Worker | None:
        return Worker.objects.alive().filter(kind="train").order_by("started_at").first()

    def _speed(self, worker: Worker | None) -> tuple[float, str]:
        """Tokens a second: as earlier runs of this base went here, else a guess that says it is one."""
        runs = FineTune.objects.filter(base=self.base, state=State.SUCCEEDED, tokens_per_second__gt=0)
        if worker:
            runs = runs.filter(worker__contains=f"@{worker.host}:")
        measured = list(runs.order_by("-finished_at").values_list("tokens_per_second", flat=True)[:5])
        if measured:
            return median(measured), "as earlier runs of this base went here"
        facts = worker.facts if worker else {}
        guess = expected_speed(self.base.parameters, threads=facts.get("threads") or 2)
        return guess * (
            ACCELERATOR if facts.get("device") == "cuda" else 1
        ), "a guess from the model's size; the first run measures it"


@dataclass(frozen=True)
class Token:
    """One token of a row, as the model sees it."""

    text: str
    loss: bool
    cut: bool
    special: bool


@dataclass(frozen=True)
class Microscope:
    """A row under it: tokens, and how many carry loss."""

    row: Row
    rank: int
    tokens: list[Token]
    total: int
    trained: int
    cut: int

    MOST = 3000


def microscope(prospect: Prospect, config: TrainConfig, rank: int) -> Microscope:
    """The training row of this rank (from 1) as it would be trained on."""
    template = _template(prospect.base)
    count = prospect.dataset.counts.get(Split.TRAIN, 0)
    rank = min(max(rank, 1), max(count, 1))
    row = Row.objects.filter(dataset=prospect.dataset, split=Split.TRAIN).order_by("position")[rank - 1 : rank].first()
    if row is None:
        raise NotPossible("This data set has no training rows.")
    try:
        encoded = template.encode(row.messages, loss_on=config.loss_on)
    except TemplateMismatch as error:
        raise NotPossible(f"This row does not fit the chat template of {prospect.base}. {error}") from error
    length = len(encoded.ids)
    kept = config.max_length if config.overlong == "truncate" or length <= config.max_length else 0
    added = template.tokenizer.get_added_tokens_decoder()
    tokens: list[Token] = []
    shown_to = 0
    for i, (start, end) in enumerate(encoded.offsets[: Microscope.MOST]):
        # A character of several tokens is shown with its first one; the others say that they continue it.
        text = encoded.text[max(start, shown_to) : end] or "·"
        shown_to = max(shown_to, end)
        # The first token of a row has nothing before it to be predicted from, so it carries no loss.
        tokens.append(Token(text, encoded.mask[i] and 0 < i < kept, i >= kept, encoded.ids[i] in added))
    trained = sum(encoded.mask[1:kept])
    return Microscope(row, rank, tokens, length, trained, length - min(length, kept))


def _template(base: LanguageModel) -> Any:
    try:
        return load_template(str(base.path))
    except FileNotFoundError:
        raise NotPossible(
            f"The files of {base} are not on this machine, so nothing can be planned. Restart the studio to prepare them."
        ) from None
