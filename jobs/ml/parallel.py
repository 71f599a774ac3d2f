"""The processes of one data-parallel run: one for `python -m jobs.ml train`, several under `accelerate launch`.

Every process holds the whole model and the whole adapter; a step's forward passes are shared out and the gradients
added up. It does not know what is added up.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")


class Group:
    def __init__(self) -> None:
        self.rank, self.size, self.local_rank = 0, 1, 0
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            state = PartialState(cpu=not torch.cuda.is_available())
            self.rank, self.size, self.local_rank = state.process_index, state.num_processes, state.local_process_index

    @property
    def main(self) -> bool:
        """The one process that speaks and writes."""
        return self.rank == 0

    def share(self, work: Sequence[T]) -> Sequence[T]:
        return work[self.rank :: self.size]

    def add_up(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.size > 1:
            for tensor in tensors:
                torch.distributed.all_reduce(tensor)

    def total(self, value: float, device: torch.device) -> float:
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=device)
        torch.distributed.all_reduce(tensor)
        return float(tensor)

    def wait(self) -> None:
        if self.size > 1:
            torch.distributed.barrier()
