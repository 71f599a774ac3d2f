"""Rows laid end to end, so that no layer computes padding, and attention that looks at them one by one.

On a CPU attention is jobs.ml.fused.row_attention. On a GPU the rows are spread out to a padded batch for torch's own
kernels (flash attention where the hardware has it), which beat anything made of single products there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

from jobs.ml.data import Example
from jobs.ml.failures import Refused
from jobs.ml.fused.row_attention import RowAttention


@dataclass(frozen=True)
class Rows:
    """Some examples laid end to end as one row of T tokens. `bounds` say where each begins and ends."""

    ids: Tensor
    positions: Tensor
    predicting: Tensor  # places whose next token carries loss
    targets: Tensor  # those next tokens
    bounds: list[tuple[int, int]]

    @cached_property
    def spread(self) -> Tensor:
        """Rows x longest: where each row's tokens lie, the last one repeated as filling."""
        starts, ends = torch.tensor(self.bounds, device=self.ids.device).T[..., None]
        found: Tensor = torch.minimum(starts + torch.arange(int((ends - starts).max()), device=starts.device), ends - 1)
        return found

    @cached_property
    def gather(self) -> Tensor:
        """The T real places of `spread`."""
        starts, ends = torch.tensor(self.bounds, device=self.ids.device).T[..., None]
        within = torch.arange(int((ends - starts).max()), device=starts.device) < ends - starts
        found: Tensor = within.flatten().nonzero().squeeze(1)
        return found

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float = 0.0) -> Tensor:
        """As `RowAttention` (tokens x heads x width), by torch's kernel over a padded batch."""

        def by_row(states: Tensor) -> Tensor:
            spread = states.index_select(0, self.spread.flatten()).view(*self.spread.shape, *states.shape[1:])
            return spread.transpose(1, 2)

        attended = functional.scaled_dot_product_attention(
            by_row(query), by_row(key), by_row(value), is_causal=True, scale=scale, dropout_p=dropout, enable_gqa=True
        )
        found: Tensor = attended.transpose(1, 2).flatten(0, 1).index_select(0, self.gather)
        return found


def lay_out(examples: Sequence[Example], device: torch.device) -> Rows:
    ends = list(accumulate(len(example.ids) for example in examples))
    ids = torch.tensor([token for example in examples for token in example.ids])
    # A row's first token is predicted by nothing; above all not by the row before it.
    carries_loss = torch.tensor([carries for example in examples for carries in (False, *example.mask[1:])])
    following = carries_loss.nonzero().squeeze(1)
    return Rows(
        ids=ids[None].to(device),
        positions=torch.cat([torch.arange(len(example.ids)) for example in examples])[None].to(device),
        predicting=(following - 1).to(device),
        targets=ids[following].to(device),
        bounds=list(zip([0, *ends], ends, strict=False)),
    )


def _attend_by_row(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    rows: Rows | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention inside each row; a transformers attention implementation."""
    assert rows is not None  # noqa: S101 - only `Model.hidden` runs with this implementation
    if softcap or s_aux is not None:
        raise Refused("This model family's attention is of a kind that cannot be trained here.")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    states = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
    if query.device.type == "cpu" and not dropout and module.config._attn_implementation == "by_row":
        return RowAttention.apply(*states, rows.bounds, scale)[None], None  # type: ignore[no-untyped-call]
    return rows.attend(states[0], states[1], states[2], scale, dropout)[None], None


# "spread" is attention by torch's kernel everywhere: what a plain loop would run, and what "by_row" is measured against.
for name in ("by_row", "spread"):
    AttentionInterface.register(name, _attend_by_row)
    AttentionMaskInterface.register(name, lambda *args, **kwargs: None)
