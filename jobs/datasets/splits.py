"""Which rows train, which validate and which test: by the content of their prompts, so the same file always splits alike.

Rows with equal prompts stay together, or the validation would ask what the training has answered. Pure functions.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring

from jobs.models import Split

VALIDATION_SHARE = 0.1
VALIDATION_LEAST, VALIDATION_MOST = 20, 500
NO_VALIDATION_UNDER = 50


def group_of(messages: Sequence[Mapping[str, str]]) -> int:
    """A number for everything before the answer; equal for equal prompts, and otherwise as good as random."""
    turns = [f'["{m["role"]}", {encode_basestring(m["content"].strip())}]' for m in messages[:-1]]  # as JSON writes it
    return int.from_bytes(hashlib.sha256(f"[{', '.join(turns)}]".encode()).digest()[:8], "big")


def default_targets(rows: int) -> dict[Split, int]:
    """A tenth for validation, at least 20 and at most 500 rows; none of a set so small that every row is needed."""
    if rows < NO_VALIDATION_UNDER:
        return {}
    return {Split.VALIDATION: min(VALIDATION_MOST, max(VALIDATION_LEAST, round(rows * VALIDATION_SHARE)))}


def targets(rows: int, shares: Mapping[str, float]) -> dict[Split, int]:
    """How many rows each split is to have; what is left over trains. Shares of nothing mean the default."""
    if not shares:
        return default_targets(rows)
    return {split: round(rows * shares[split]) for split in (Split.TEST, Split.VALIDATION) if shares.get(split)}


def assign(groups: Sequence[int], wanted: Mapping[Split, int]) -> dict[int, Split]:
    """Group -> split, for the groups that do not train. A group never straddles, so a count may miss by part of one."""
    waiting = sorted(groups)
    chosen: dict[int, Split] = {}
    at = 0
    for split, count in wanted.items():
        if count > 0 and at < len(waiting):
            end = bisect_right(waiting, waiting[min(at + count, len(waiting)) - 1])
            chosen |= dict.fromkeys(waiting[at:end], split)
            at = end
    return chosen
