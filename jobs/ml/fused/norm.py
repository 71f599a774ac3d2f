"""RMSNorm as one autograd function: it keeps its input and one number a token, and makes few passes over memory.

transformers' own module makes nine passes in fp32 and keeps three tensors for the backward pass. Here the arithmetic is
the same: normalised in fp32, rounded, then scaled by the weight.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = states.float()
        inverse = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = inverse.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(states, weight, inverse)
        wide = wide.mul_(inverse) if wide is not states else wide * inverse
        return wide.to(states.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        states, weight, inverse = ctx.saved_tensors
        gradient = (upstream[0] * weight).float()
        normalised = states * inverse if states.dtype == torch.float32 else states.float().mul_(inverse)
        along = (gradient * normalised).mean(-1, keepdim=True)
        return gradient.sub_(normalised.mul_(along)).mul_(inverse).to(states.dtype), None, None


def epsilon_of(module: nn.Module) -> float | None:
    """The epsilon of a module that has the parts of an RMSNorm; whether it computes one is for `fuse` to find out."""
    names = [name for name, _ in module.named_parameters()]
    found = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    return found if names == ["weight"] and isinstance(found, float) and not list(module.children()) else None


def fuse_norm(module: Any, epsilon: float) -> None:
    def forward(hidden_states: Tensor) -> Any:
        return RMSNorm.apply(hidden_states, module.weight, epsilon)  # type: ignore[no-untyped-call]

    module.forward = forward
