"""The linear layers that read one input (q, k and v; gate and up), with their adapters, as one matrix product.

For frozen weights W, adapters A and B, and scale s, the layers compute  x Wᵀ + s (x Aᵀ) Bᵀ.  With h = x Aᵀ that is one
product of [x h] with [W sB]ᵀ, and its backward one product of the gradient with [W sB] gives the gradients of x and h at
once. So a layer costs two large products and three thin ones, in place of PEFT's two large and five thin ones and six
passes over the outputs, and the sum of base and adapter is rounded once instead of three times. The frozen weights move
into the joined matrix (the modules keep views of them), so nothing is held twice.

It does not know which layers belong together or what happens between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

ADAPTER = "default"


def plain(module: nn.Module) -> bool:
    """Is it a frozen nn.Linear, with PEFT's plain LoRA on it or nothing? Anything else computes by its own rules."""
    if isinstance(module, LoraLinear):
        if list(module.lora_A) != [ADAPTER] or module.lora_variant or module.merged or module.fan_in_fan_out:
            return False
        if module.lora_A[ADAPTER].bias is not None or module.lora_B[ADAPTER].bias is not None:
            return False
        if not isinstance(module.lora_dropout[ADAPTER], nn.Identity):
            return False  # each layer drops other inputs, so they share none
        module = module.base_layer
    return type(module) is nn.Linear and not any(weight.requires_grad for weight in module.parameters())


class Projections:
    """Some linear layers that are given the same input; `joined` is [W sB], rows of one layer after the other's."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        bases: list[Any] = [layer.base_layer if isinstance(layer, LoraLinear) else layer for layer in layers]
        adapted: list[Any] = [layer if isinstance(layer, LoraLinear) else None for layer in layers]
        self.inputs: int = bases[0].in_features
        self.outputs: list[int] = [base.out_features for base in bases]
        self.downs: list[Tensor] = [layer.lora_A[ADAPTER].weight for layer in adapted if layer]
        self.ups: list[Tensor] = [layer.lora_B[ADAPTER].weight for layer in adapted if layer]
        self.scales = [layer.scaling[ADAPTER] for layer in adapted if layer]
        self.places: list[tuple[slice, slice]] = []  # of each adapter's B in `joined`: rows, columns
        row, column = 0, self.inputs
        for layer, size in zip(adapted, self.outputs, strict=True):
            if layer:
                rank = layer.r[ADAPTER]
                self.places.append((slice(row, row + size), slice(column, column + rank)))
                column += rank
            row += size
        first = bases[0].weight
        self.joined = torch.empty(row, column, dtype=first.dtype, device=first.device)
        self.joined[:, self.inputs :] = 0
        biases = [base.bias for base in bases]
        self.bias: Tensor | None = None
        if any(bias is not None for bias in biases):
            self.bias = torch.cat(
                [
                    first.new_zeros(size) if bias is None else bias
                    for bias, size in zip(biases, self.outputs, strict=True)
                ]
            )
        row = 0
        for base, size in zip(bases, self.outputs, strict=True):
            view = self.joined[row : row + size, : self.inputs]
            view.copy_(base.weight)
            base.weight = nn.Parameter(view, requires_grad=False)
            row += size
        self.refresh()

    def refresh(self) -> None:
        """Take over the present values of the adapters' B."""
        with torch.no_grad():
            for up, scale, (rows, columns) in zip(self.ups, self.scales, self.places, strict=True):
                torch.mul(up, scale, out=self.joined[rows, columns])

    @property
    def adapters(self) -> list[Tensor]:
        """What is trained: all A, then all B. The functions below give gradients in this order."""
        return [*self.downs, *self.ups]

    def room(self, tokens: int) -> Tensor:
        """Where [x h] of so many tokens goes."""
        return self.joined.new_empty(tokens, self.joined.shape[1])

    def forward(self, widened: Tensor) -> Tensor:
        """All outputs side by side. `widened` is `room`, with x in its first columns; h is written beside it."""
        if self.downs:
            widened[:, self.inputs :] = widened[:, : self.inputs] @ torch.cat(self.downs).T
        return nn.functional.linear(widened, self.joined, self.bias)

    def backward(self, widened: Tensor, upstream: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The gradients of x, and of each of `adapters`."""
        both = upstream @ self.joined
        inputs = both[:, : self.inputs]
        if not self.downs:
            return inputs, []
        hidden = both[:, self.inputs :].contiguous()
        downs = hidden.T @ widened[:, : self.inputs]
        ups = [
            (upstream[:, rows].T @ widened[:, columns]).mul_(scale)
            for scale, (rows, columns) in zip(self.scales, self.places, strict=True)
        ]
        ranks = [columns.stop - columns.start for _, columns in self.places]
        inputs = torch.addmm(inputs, hidden, torch.cat(self.downs))
        return inputs, [*torch.split(downs, ranks), *ups]


class Projected(torch.autograd.Function):
    """`Projections` between any other modules."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, projections: Projections, *adapters: Tensor) -> Tensor:
        widened = projections.room(states.numel() // projections.inputs)
        widened[:, : projections.inputs] = states.reshape(-1, projections.inputs)
        outputs = projections.forward(widened)
        ctx.projections = projections
        ctx.save_for_backward(widened)
        return outputs.view(*states.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        projections: Projections = ctx.projections
        (widened,) = ctx.saved_tensors
        outer = upstream[0].shape[:-1]
        inputs, adapters = projections.backward(widened, upstream[0].reshape(len(widened), -1))
        return (inputs.reshape(*outer, -1), None, *adapters)


def project(states: Tensor, projections: Projections) -> Tensor:
    found: Tensor = Projected.apply(states, projections, *projections.adapters)  # type: ignore[no-untyped-call]
    return found
