"""Parts of a model as single autograd functions, in plain torch. On SmolLM2-135M a core trains on 1.6 times as many tokens
a second: attention by rows and the head's loss make 1.5 of it. The rest is 3 to 8 % of time and a quarter of peak memory.

Nothing is compiled, so there is no warm-up to win back. A module is replaced if it has the parts, and if on a few tokens
it gives what its own code gives; every other one keeps running its own code, so any family that transformers and PEFT
load is trained right. Weights stay where PEFT looks for them. This file chooses; each other one is one idea.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from jobs.ml.fused.attention import fuse_attention, is_llama_shaped
from jobs.ml.fused.mlp import fuse_mlp, is_gated
from jobs.ml.fused.norm import epsilon_of, fuse_norm
from jobs.ml.fused.projections import ADAPTER, Projections

__all__ = ["Projections", "fuse", "fused_whole"]

CLOSE = 0.02  # relative; rounding to bf16 on the way makes about 0.005


def fuse(decoder: nn.Module, try_out: Callable[[], object]) -> list[Projections]:
    """Replace what can be replaced. `try_out` runs the decoder over a few tokens. Returns what has to be refreshed
    whenever the adapter changes."""
    found: list[tuple[Any, Any]] = [(module, way) for module in decoder.modules() if (way := _way(module))]
    calls: dict[nn.Module, tuple[Any, Any, Any]] = {}

    def record(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        calls[module] = (args, kwargs, output)

    hooks = [module.register_forward_hook(record, with_kwargs=True) for module, _ in found]
    ups: list[Any] = [module.lora_B[ADAPTER].weight for module in _adapted(decoder)]
    before = [up.detach().clone() for up in ups]
    draw = torch.Generator(device="cpu").manual_seed(0)
    groups: list[Projections] = []
    with torch.no_grad():
        for up in ups:  # zero at first, which would hide what the adapter does
            up.copy_(torch.randn(up.shape, generator=draw) * 0.05)
        try_out()
        for hook in hooks:
            hook.remove()
        for module, way in found:
            if module not in calls:
                continue
            args, kwargs, expected = calls[module]
            made = way(module)
            if _close(module, args, kwargs, expected):
                groups += made
            else:
                del module.forward
        for up, weight in zip(ups, before, strict=True):
            up.copy_(weight)
    for group in groups:
        group.refresh()
    if groups:
        _let_go_of_the_file(decoder, groups)
    return groups


def fused_whole(decoder: nn.Module, groups: Sequence[Projections]) -> bool:
    """Does the decoder multiply by no matrix but theirs? Then its passes touch nothing that is shared but one setting,
    `exact_products`, and may run at the same time in several threads. Code that is not ours might draw random numbers, or
    multiply in fp32 where that setting must be off."""
    joined = {group.joined.data_ptr() for group in groups}
    adapters = {id(weight) for group in groups for weight in group.adapters}
    looked_up = {id(module.weight) for module in decoder.modules() if isinstance(module, nn.Embedding)}
    draws = any(isinstance(module, nn.Dropout) and module.p for module in decoder.modules())
    return not draws and all(
        weight.dim() < 2 or id(weight) in adapters | looked_up or weight.untyped_storage().data_ptr() in joined
        for weight in decoder.parameters()
    )


def _let_go_of_the_file(decoder: nn.Module, groups: Sequence[Projections]) -> None:
    """The weights' file stays in memory as long as one tensor is a part of it; most of it has just been copied."""
    joined = {group.joined.data_ptr() for group in groups}
    for weight in decoder.parameters():
        if weight.untyped_storage().data_ptr() not in joined:
            weight.data = weight.data.clone()


def _adapted(decoder: nn.Module) -> list[Any]:
    return [module for module in decoder.modules() if isinstance(module, LoraLinear)]


def _way(module: nn.Module) -> Callable[[Any], Sequence[Projections]] | None:
    if is_llama_shaped(module):
        return fuse_attention
    if is_gated(module):
        return fuse_mlp
    epsilon = epsilon_of(module)
    if epsilon is None:
        return None

    def norm(module: nn.Module) -> Sequence[Projections]:
        fuse_norm(module, epsilon)
        return ()

    return norm


def _close(module: nn.Module, args: Any, kwargs: Any, expected: Any) -> bool:
    try:
        found = module(*args, **kwargs)
    except (RuntimeError, TypeError):  # the parts have the names, and other shapes or arguments
        return False
    pair: list[Tensor] = [(value[0] if isinstance(value, tuple) else value).float() for value in (found, expected)]
    return pair[0].shape == pair[1].shape and float((pair[0] - pair[1]).norm()) <= CLOSE * float(pair[1].norm())
