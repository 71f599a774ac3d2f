"""How rows are grouped into forward passes: by their lengths, the device and the configuration, and nothing else.

An accelerator pads the rows of a pass to the longest, so there each pass holds rows of similar length, as many as keep it
busy. A CPU computes no padding and is as fast from 400 tokens a pass on (SmolLM2-135M, one core: 541 tokens/s at 1,000 a pass,
523 at 400, 465 at 200, 400 at 80). There passes run side by side (jobs.ml.lanes), so they are to be as many as lanes, or a
multiple, and to take equally long. The grouping does not depend on how many lanes there are: a run has the same sums anywhere.

Torch-free. It does not know what the rows are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace

from jobs.ml.config import TrainConfig

LARGEST, LARGEST_ON_ACCELERATOR = 512, 16_384
MOST = 8  # passes at the same time; each holds its activations
LEAST = 200  # tokens a pass below which a second one is not worth while


def budget(config: TrainConfig, *, accelerator: bool) -> int:
    """Tokens of one pass: batch_size rows of full length, or what keeps a lane or a device busy if that is less."""
    return min(config.batch_size * config.max_length, LARGEST_ON_ACCELERATOR if accelerator else LARGEST)


def group(rows: Sequence[int], lengths: Sequence[int], config: TrainConfig, *, accelerator: bool) -> list[list[int]]:
    """A row longer than the budget has a pass of its own."""
    if accelerator:
        return pack(rows, lengths, budget(config, accelerator=True))
    return balance(rows, lengths, budget(config, accelerator=False))


def pack(rows: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Rows in order of length, in groups of at most `budget` tokens."""
    groups: list[list[int]] = []
    room = 0
    for row in sorted(rows, key=lambda row: (lengths[row], row)):
        if not groups or lengths[row] > room:
            groups.append([])
            room = budget
        groups[-1].append(row)
        room -= lengths[row]
    return groups


def balance(rows: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """1, 2, 4 or a multiple of 4 groups (or one for each row), about equal in tokens and at most `budget`, largest first."""
    total = sum(lengths[row] for row in rows)
    count = max(-(-total // budget), 2 if total >= 2 * LEAST else 1)
    while True:
        count = min(count if count < 3 else -(-count // 4) * 4, len(rows))
        groups = _deal(rows, lengths, count)
        if all(size <= budget or len(members) == 1 for size, members in groups):
            return [members for _, members in groups]
        count += 1 + count // 8


def _deal(rows: Sequence[int], lengths: Sequence[int], count: int) -> list[tuple[int, list[int]]]:
    """The longest row first, each to the group that has least so far. Tokens and rows of each group."""
    heap: list[tuple[int, int, list[int]]] = [(0, number, []) for number in range(count)]
    heapify(heap)
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        size, number, members = heap[0]
        heapreplace(heap, (size + lengths[row], number, [*members, row]))
    return [(size, members) for size, _, members in sorted(heap, key=lambda entry: (-entry[0], entry[1]))]
