"""Rows to token ids, and the order in which a run sees them.

Torch-free. The order is a pure function of (seed, epoch): a resumed run needs only its step number to be back at the
same row. It does not know models, devices or how a batch becomes a tensor.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.ml.config import TrainConfig
from jobs.ml.template import ChatTemplate, Message, TemplateMismatch


class BadData(ValueError):
    """The rows cannot be trained on. The message says which and why."""


@dataclass(frozen=True)
class Example:
    """One conversation: token ids, and which of them carry loss."""

    ids: list[int]
    mask: list[bool]

    @property
    def targets(self) -> int:
        """Tokens that carry loss. The first token of a row has nothing before it to be predicted from."""
        return sum(self.mask[1:])


@dataclass(frozen=True)
class Dataset:
    """Rows ready for training; `skipped` were left out (too long under "drop", or nothing to learn in them)."""

    examples: list[Example]
    truncated: int
    skipped: int


def read_rows(path: Path) -> list[list[Message]]:
    """The conversations of a JSONL file. A file that is absent or empty gives none."""
    if not path.exists():
        return []
    rows = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                messages = json.loads(line)["messages"]
                rows.append([{"role": str(m["role"]), "content": str(m["content"])} for m in messages])
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise BadData(f"Line {number} of {path.name} is not a conversation: {error}.") from None
    return rows


def encode_rows(rows: Sequence[list[Message]], template: ChatTemplate, config: TrainConfig) -> Dataset:
    """Encode every row, cut or drop the long ones, and leave out rows without a single token to learn."""
    examples: list[Example] = []
    truncated = skipped = 0
    for number, messages in enumerate(rows, start=1):
        try:
            encoded = template.encode(messages, loss_on=config.loss_on)
        except TemplateMismatch as error:
            raise BadData(f"Row {number} does not fit the model's chat template. {error}") from error
        overlong = len(encoded.ids) > config.max_length
        if overlong and config.overlong == "drop":
            skipped += 1
            continue
        example = Example(encoded.ids[: config.max_length], encoded.mask[: config.max_length])
        if not example.targets:
            skipped += 1
            continue
        truncated += overlong
        examples.append(example)
    return Dataset(examples, truncated, skipped)


def steps_per_epoch(rows: int, config: TrainConfig) -> int:
    return -(-rows // (config.batch_size * config.gradient_accumulation_steps))


def total_steps(rows: int, config: TrainConfig) -> int:
    """Optimizer steps of the whole run."""
    if config.max_steps:
        return config.max_steps
    return max(1, round(config.epochs * steps_per_epoch(rows, config)))


def step_rows(rows: int, config: TrainConfig, step: int) -> list[int]:
    """Row numbers of step `step` (counted from 0): the next batch_size x gradient_accumulation_steps of the epoch's shuffle.

    How they are grouped into forward passes changes no gradient (a step sums over all its rows).
    """
    epoch, position = divmod(step, steps_per_epoch(rows, config))
    effective = config.batch_size * config.gradient_accumulation_steps
    return epoch_order(rows, config.seed, epoch)[position * effective : (position + 1) * effective]


def epoch_order(rows: int, seed: int, epoch: int) -> list[int]:
    order = list(range(rows))
    random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311 - a reproducible order, not a secret
    return order


def sha256_of_files(*paths: Path) -> str:
    """One digest over the sealed data files, in the given order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes() if path.exists() else b"")
        digest.update(b"\0")
    return digest.hexdigest()
