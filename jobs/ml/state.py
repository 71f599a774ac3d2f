"""Where a run is: the numbers that `state.json` holds, and the tensors of the optimizer and the random generators.

Together with the adapter's weights this is everything that an exact resume needs. It does not know about files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from jobs.ml.failures import Diverged

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW remembers of each weight


@dataclass
class State:
    """Where a run is, apart from tensors. A pure function of configuration, data and step, but for `seconds`."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    evaluated: int = -1  # the step whose evaluation is complete
    best_step: int | None = None
    best_loss: float | None = None
    best_path: str | None = None
    without_better: int = 0  # evaluations since the best one
    first_losses: list[float] = field(default_factory=list)
    recent_losses: list[float] = field(default_factory=list)
    high_losses: int = 0
    threads: int = 0

    def watch(self, loss: float, norm: float) -> None:
        """Note the loss of the coming step. Raises Diverged if it is no number, or far above the start for 3 steps."""
        advice = "The learning rate is probably too high: try a third of it."
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(f"The loss stopped being a number at step {self.step + 1}. {advice}")
        self.recent_losses = [*self.recent_losses, loss][-10:]
        if len(self.first_losses) < 3:
            self.first_losses.append(loss)
            return
        start = sum(self.first_losses) / len(self.first_losses)
        self.high_losses = self.high_losses + 1 if loss > max(3 * start, start + 3) else 0
        if self.high_losses >= 3:
            raise Diverged(f"The loss rose from {start:.2f} to {loss:.2f} by step {self.step + 1}. {advice}")

    def note_evaluation(self, loss: float | None, path: str) -> bool:
        """Remember the best. True if this one is; the bare base, at step 0, competes for nothing."""
        self.evaluated = self.step
        if loss is None or self.step == 0:
            return False
        if self.best_loss is None or loss < self.best_loss:
            self.best_step, self.best_loss, self.best_path, self.without_better = self.step, loss, path, 0
            return True
        self.without_better += 1
        return False


def optimizer_tensors(optimizer: torch.optim.Optimizer, masters: dict[str, Tensor]) -> dict[str, Tensor]:
    """AdamW's memory by weight name; empty before the first step."""
    return {
        f"{name}.{moment}": optimizer.state[master][moment]
        for name, master in masters.items()
        if master in optimizer.state
        for moment in MOMENTS
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, masters: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    for name, master in masters.items():
        if f"{name}.step" in tensors:
            remembered = {moment: tensors[f"{name}.{moment}"].to(master.device) for moment in MOMENTS}
            optimizer.state[master] = remembered


def rng_tensors(device: torch.device) -> dict[str, Tensor]:
    """The state of every random generator that a step draws from."""
    states = {"rng.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["rng.cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_rng(device: torch.device, tensors: dict[str, Tensor]) -> None:
    torch.set_rng_state(tensors["rng.cpu"])
    if device.type == "cuda" and "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"], device)
