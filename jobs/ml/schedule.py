"""Where in a run what happens: the learning rate of each step and the steps that are followed by an evaluation.

Torch-free: plans are made with the same functions as runs.
"""

from __future__ import annotations

import math

from jobs.ml.config import TrainConfig


def learning_rate(config: TrainConfig, step: int, total: int) -> float:
    """The rate of step `step`, counted from 0: a linear warm-up of at least 5 steps, then the schedule to 0."""
    warmup = min(max(5, round(config.warmup_ratio * total)), total // 4) if config.warmup_ratio else 0
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total - warmup)
    match config.scheduler:
        case "cosine":
            return config.learning_rate * (1 + math.cos(math.pi * progress)) / 2
        case "linear":
            return config.learning_rate * (1 - progress)
        case _:
            return config.learning_rate


def evaluation_steps(total: int, config: TrainConfig) -> set[int]:
    """Step 0, which measures the bare base, then `evals` points spread evenly, the last one at the end. Of a short run at
    most every second step is evaluated: it would take longer to measure than to train."""
    if not config.evals:
        return set()
    count = min(config.evals, max(1, total // 2))
    return {0} | {max(1, round(total * k / count)) for k in range(1, count + 1)}
