"""A llama-shaped attention layer as one autograd function: q, k and v in one product, rotation, rows, output.

It keeps [x h], the rotated q and k with v beside them, the probabilities, and what the output layer reads. It does not
know which models have such a layer; `fuse` finds out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from jobs.ml.fused.projections import Projections, plain, project
from jobs.ml.fused.row_attention import attend, attend_backward

PARTS = ("q_proj", "k_proj", "v_proj", "o_proj")


def rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary position embedding of tokens x heads x width, two halves of the width being a pair."""
    half = states.shape[-1] // 2
    made = states * cosine
    made[..., :half].addcmul_(states[..., half:], sine[..., :half], value=-1)
    made[..., half:].addcmul_(states[..., :half], sine[..., half:])
    return made


def rotate_backward(upstream: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    half = upstream.shape[-1] // 2
    made = upstream * cosine
    made[..., :half].addcmul_(upstream[..., half:], sine[..., half:])
    made[..., half:].addcmul_(upstream[..., :half], sine[..., :half], value=-1)
    return made


class Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, into: Projections, out_of: Projections, cosine: Tensor, sine: Tensor,
        bounds: list[tuple[int, int]], scale: float, width: int, *adapters: Tensor,
    ) -> Tensor:  # fmt: skip
        widened = into.room(states.numel() // into.inputs)
        tokens = len(widened)
        widened[:, : into.inputs] = states.reshape(tokens, -1)
        mixed = into.forward(widened).view(tokens, -1, width)
        heads, groups = (size // width for size in into.outputs[:2])
        cosine, sine = cosine.view(tokens, 1, -1), sine.view(tokens, 1, -1)
        mixed[:, : heads + groups] = rotate(mixed[:, : heads + groups], cosine, sine)
        query, key, value = torch.split(mixed, [heads, groups, groups], dim=1)
        attended = out_of.room(tokens)
        out = attended[:, : out_of.inputs].view(tokens, heads, width)
        kept = attend(query, key, value, bounds, scale, out)
        outputs = out_of.forward(attended)
        ctx.into, ctx.out_of, ctx.bounds, ctx.scale = into, out_of, bounds, scale
        ctx.save_for_backward(widened, mixed, attended, cosine, sine, *kept)
        return outputs.view(*states.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        into: Projections = ctx.into
        out_of: Projections = ctx.out_of
        widened, mixed, attended, cosine, sine, *kept = ctx.saved_tensors
        tokens, _, width = mixed.shape
        heads, groups = (size // width for size in into.outputs[:2])
        gradient, of_out = out_of.backward(attended, upstream[0].reshape(tokens, -1))
        query, key, value = torch.split(mixed, [heads, groups, groups], dim=1)
        both = torch.empty_like(mixed)
        attend_backward(
            query, key, value, ctx.bounds, ctx.scale, kept,
            attended[:, : out_of.inputs].view(tokens, heads, width), gradient.reshape(tokens, heads, width),
            *torch.split(both, [heads, groups, groups], dim=1),
        )  # fmt: skip
        both[:, : heads + groups] = rotate_backward(both[:, : heads + groups], cosine, sine)
        inputs, of_into = into.backward(widened, both.view(tokens, -1))
        return (inputs.reshape_as(upstream[0]), *[None] * 7, *of_into, *of_out)


def has_own_kernels(states: Tensor) -> bool:
    """Does torch have fast attention kernels for where these lie? For GPUs it has."""
    return states.device.type != "cpu"


def is_llama_shaped(module: nn.Module) -> bool:
    """Four plain linear layers and nothing else that computes."""
    parts = [getattr(module, name, None) for name in PARTS]
    return (
        sorted(name for name, _ in module.named_children()) == sorted(PARTS)
        and all(isinstance(part, nn.Module) and plain(part) for part in parts)
        and not getattr(module, "attention_dropout", 0.0)
        and isinstance(getattr(module, "scaling", None), float)
        and isinstance(getattr(module, "head_dim", None), int)
    )


def _by_own_kernels(
    module: Any, states: Tensor, into: Projections, out_of: Projections, rotation: tuple[Tensor, Tensor], rows: Any
) -> Tensor:
    mixed = project(states, into)[0].view(rows.ids.shape[1], -1, module.head_dim)
    heads, groups = (size // module.head_dim for size in into.outputs[:2])
    cosine, sine = (part[0, :, None] for part in rotation)
    rotated = rotate(mixed[:, : heads + groups], cosine, sine)
    query, key = torch.split(rotated, [heads, groups], dim=1)
    attended = rows.attend(query, key, mixed[:, heads + groups :], module.scaling)
    return project(attended.flatten(1)[None], out_of)


def fuse_attention(module: Any) -> list[Projections]:
    query, key, value, out = (getattr(module, name) for name in PARTS)
    into, out_of = Projections([query, key, value]), Projections([out])
    original = module.forward

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        rows, rotation = kwargs.get("rows"), kwargs.get("position_embeddings")
        if rows is None or rotation is None:  # generating, with a cache
            return original(hidden_states, *args, **kwargs)
        if has_own_kernels(hidden_states):
            return _by_own_kernels(module, hidden_states, into, out_of, rotation, rows), None
        adapters = [*into.adapters, *out_of.adapters]
        return Attention.apply(  # type: ignore[no-untyped-call]
            hidden_states, into, out_of, *rotation, rows.bounds, module.scaling, module.head_dim, *adapters
        ), None

    module.forward = forward
    return [into, out_of]
