"""A gated MLP, down(silu(gate(x)) * up(x)), as one autograd function over two groups of `Projections`.

It keeps [x h], gate and up; the activation, which three modules would keep three tensors for, is computed again in the
backward pass (four passes over memory, against some 1,000 operations an element in the products around it).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from jobs.ml.fused.projections import Projections, plain

PARTS = ("gate_proj", "up_proj", "down_proj")


class GatedMLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, into: Projections, out_of: Projections, *adapters: Tensor) -> Tensor:
        widened = into.room(states.numel() // into.inputs)
        widened[:, : into.inputs] = states.reshape(-1, into.inputs)
        gate_up = into.forward(widened)
        gate, up = gate_up.chunk(2, dim=1)
        active = out_of.room(len(widened))
        torch.mul(functional.silu(gate), up, out=active[:, : out_of.inputs])
        outputs = out_of.forward(active)
        ctx.into, ctx.out_of = into, out_of
        ctx.save_for_backward(widened, gate_up, active[:, out_of.inputs :].clone())
        return outputs.view_as(states)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        into: Projections = ctx.into
        out_of: Projections = ctx.out_of
        widened, gate_up, hidden = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=1)
        silu = functional.silu(gate)
        active = out_of.room(len(widened))
        torch.mul(silu, up, out=active[:, : out_of.inputs])
        active[:, out_of.inputs :] = hidden
        gradient, of_down = out_of.backward(active, upstream[0].reshape(len(widened), -1))
        both = torch.empty_like(gate_up)
        torch.mul(gradient, silu, out=both[:, gate.shape[1] :])
        both[:, : gate.shape[1]] = torch.ops.aten.silu_backward(gradient * up, gate)
        inputs, of_gate_up = into.backward(widened, both)
        count = len(into.downs)
        return (inputs.reshape_as(upstream[0]), None, None, *of_gate_up[:count], *of_gate_up[count:], *of_down)


def is_gated(module: nn.Module) -> bool:
    parts = [getattr(module, name, None) for name in PARTS]
    silu = type(getattr(module, "act_fn", None)).__name__ in ("SiLU", "SiLUActivation")
    return silu and all(isinstance(part, nn.Module) and plain(part) for part in parts)


def fuse_mlp(module: Any) -> list[Projections]:
    gate, up, down = (getattr(module, name) for name in PARTS)
    into, out_of = Projections([gate, up]), Projections([down])

    def forward(x: Tensor) -> Any:
        adapters = [*into.adapters, *out_of.adapters]
        return GatedMLP.apply(x, into, out_of, *adapters)  # type: ignore[no-untyped-call]

    module.forward = forward
    return [into, out_of]
