"""Cross-entropy of a frozen output head, a chunk of tokens at a time.

The head has no gradient of its own, so the gradient of the hidden states is computed along with the loss, and the logits
(tokens x vocabulary, far the largest tensor of a small model) never exist as a whole. In a chunk they are bf16, and only a
SLICE of them at a time is fp32, small enough to stay in the cache of a core: half the time of doing it chunk by chunk.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 512  # tokens whose logits exist at the same time (jobs.ml.plan counts them)
SLICE = 2**19  # logits that are fp32 at the same time, on a CPU
TINY = 2.0**-126  # no token costs more than 87 nats; the smallest number that fp32 holds in full


class HeadLoss(torch.autograd.Function):
    """Summed, not mean."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        gradient = torch.empty_like(hidden)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        step = max(1, SLICE // len(head)) if hidden.device.type == "cpu" else CHUNK
        for start in range(0, len(targets), CHUNK):
            part = slice(start, start + CHUNK)
            logits = hidden[part] @ head.T
            for some, index in zip(torch.split(logits, step), torch.split(targets[part, None], step), strict=True):
                slopes = torch.softmax(some, -1, dtype=torch.float32)
                likely = slopes.gather(1, index)
                total -= likely.clamp(min=TINY).log_().sum()
                some.copy_(slopes.scatter_(1, index, likely - 1))
            gradient[part] = logits @ head
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0], None, None
