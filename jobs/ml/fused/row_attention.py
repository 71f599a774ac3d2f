"""Causal attention inside rows that lie end to end, as plain matrix products over one row, or a block of it, at a time.

torch's flash attention for CPUs takes 4.9 ms of a core, forward and backward, for a row of 200 tokens in one layer of
SmolLM2-135M, and 14 ms for 400; these products take 1.9 and 8.4 ms before the trick of `exact_products`. The
keys of a group are not repeated for its queries: the queries of one group are laid below each other. Scores and softmax
are fp32, as flash attention keeps them. Probabilities are kept up to rows of KEEP tokens and computed again above it, so
memory grows with the row's length and not with its square.

It does not know where queries, keys and values come from. GPUs have better kernels for this, and do not come here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

BLOCK = 256  # queries at a time: what they cannot see yet is not computed
KEEP = 512
FUTURE = torch.full((BLOCK, BLOCK), float("-inf")).triu_(1)


@contextmanager
def exact_products(dtype: torch.dtype) -> Iterator[None]:
    """Inside, products of fp32 tensors that hold bf16 values use bf16 instructions: equal results, 2.3 times sooner."""
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    if dtype == torch.bfloat16:
        matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def blocks(length: int) -> Iterator[tuple[int, int]]:
    """Equal blocks of queries of a row, none longer than BLOCK."""
    count = -(-length // BLOCK)
    for index in range(count):
        yield index * length // count, (index + 1) * length // count


def by_group(states: Tensor, groups: int, dtype: torch.dtype | None = None) -> Tensor:
    """tokens x heads x width to groups x (heads of a group, below each other, x tokens) x width."""
    tokens, heads, width = states.shape
    made = states.new_empty((groups, heads // groups, tokens, width), dtype=dtype)
    made.copy_(states.view(tokens, groups, heads // groups, width).permute(1, 2, 0, 3))
    return made.view(groups, -1, width)


def by_token(states: Tensor, tokens: int) -> Tensor:
    """The way back, as a view: tokens x groups x heads of a group x width."""
    return states.view(len(states), -1, tokens, states.shape[-1]).permute(2, 0, 1, 3)


def probabilities(query: Tensor, key: Tensor, start: int, end: int, scale: float) -> Tensor:
    """Of the queries from `start` to `end` over the keys up to `end`; fp32 in, fp32 out."""
    scores = torch.bmm(query, key[:, :end].transpose(1, 2)).mul_(scale)
    size = end - start
    scores.view(len(scores), -1, size, end)[..., start:].add_(FUTURE[:size, :size])
    return torch.softmax(scores, -1)


def attend(
    query: Tensor, key: Tensor, value: Tensor, bounds: Sequence[tuple[int, int]], scale: float, out: Tensor
) -> list[Tensor]:
    """Tokens x heads x width, tokens x groups x width twice; the result is written to `out`, shaped as `query`. Returns
    the probabilities that the backward pass need not compute again."""
    groups, kept = key.shape[1], []
    with exact_products(query.dtype):
        for first, last in bounds:
            keys, values = by_group(key[first:last], groups, torch.float32), by_group(value[first:last], groups)
            for start, end in blocks(last - first):
                place = slice(first + start, first + end)
                found = probabilities(by_group(query[place], groups, torch.float32), keys, start, end, scale)
                found = found.to(query.dtype)
                if last - first <= KEEP:
                    kept.append(found)
                attended = torch.bmm(found, values[:, :end])
                out[place].view(end - start, groups, -1, out.shape[2]).copy_(by_token(attended, end - start))
    return kept


def attend_backward(
    query: Tensor, key: Tensor, value: Tensor, bounds: Sequence[tuple[int, int]], scale: float, kept: Sequence[Tensor],
    attended: Tensor, upstream: Tensor, of_query: Tensor, of_key: Tensor, of_value: Tensor,
) -> None:  # fmt: skip
    """Writes the gradients of the first three into the last three."""
    groups, dtype, known = key.shape[1], query.dtype, iter(kept)
    with exact_products(dtype):
        for first, last in bounds:
            keys, values = by_group(key[first:last], groups), by_group(value[first:last], groups, torch.float32)
            to_keys, to_values = torch.zeros_like(values), torch.zeros_like(values)
            for start, end in blocks(last - first):
                place, size = slice(first + start, first + end), end - start
                queries = by_group(query[place], groups)
                if last - first <= KEEP:
                    found = next(known)
                else:
                    found = probabilities(queries.float(), keys.float(), start, end, scale).to(dtype)
                gradient = by_group(upstream[place], groups)
                wide = gradient.float()
                scores = torch.bmm(wide, values[:, :end].transpose(1, 2))
                scores.sub_((wide * by_group(attended[place], groups)).sum(-1, keepdim=True))
                narrow = scores.mul_(found).to(dtype)
                to_values[:, :end].add_(torch.bmm(found.transpose(1, 2), gradient))
                to_keys[:, :end].add_(torch.bmm(narrow.transpose(1, 2), queries))
                to_query = by_token(torch.bmm(narrow, keys[:, :end]).mul_(scale), size)
                of_query[place].view(size, groups, -1, query.shape[2]).copy_(to_query)
            of_key[first:last].copy_(to_keys.mul_(scale).transpose(0, 1))
            of_value[first:last].copy_(to_values.transpose(0, 1))


class RowAttention(torch.autograd.Function):
    """The same between any other modules: tokens x heads (or groups) x width."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bounds: Sequence[tuple[int, int]], scale: float
    ) -> Tensor:
        attended = torch.empty_like(query, memory_format=torch.contiguous_format)
        kept = attend(query, key, value, bounds, scale, attended)
        ctx.bounds, ctx.scale = bounds, scale
        ctx.save_for_backward(query, key, value, attended, *kept)
        return attended

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, attended, *kept = ctx.saved_tensors
        made = [torch.empty_like(states, memory_format=torch.contiguous_format) for states in (query, key, value)]
        attend_backward(query, key, value, ctx.bounds, ctx.scale, kept, attended, upstream[0], *made)
        return (*made, None, None)
