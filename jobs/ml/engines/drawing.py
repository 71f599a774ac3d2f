"""Which token comes next, for each request of a batch by its own parameters.

It knows logits and sampling parameters; it does not know models, adapters or text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessor

from jobs.ml.config import SamplingParams
from jobs.ml.engines.constrained import Answer


class Draw(ContinuousBatchingLogitsProcessor):
    """Draws each request's next token by its own parameters, and leaves only that one for the manager to choose.

    The manager's own processors know neither penalties nor a seed per request. A greedy request is left alone, but for
    the tokens that its schema forbids.
    """

    supported_kwargs = {"sampling": SamplingParams, "generator": torch.Generator, "answer": Answer, "prompt": list}
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._states: list[Any] = []

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        self._states = [request.state for request in requests_with_new_token]
        return torch.zeros(len(self._states), dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        for row, state in enumerate(self._states):
            asked, written = state.logit_processor_kwargs, state.generated_tokens
            if "answer" in asked and (bits := asked["answer"].allowed(written)) is not None:
                keep_to(bits, scores[row])
            if plain_greedy(asked["sampling"]):
                continue
            token = draw(scores[row], asked["sampling"], asked["generator"], asked["prompt"], written)
            scores[row].fill_(-torch.inf)
            scores[row, token] = 0.0
        return scores


def keep_to(bits: bytes, logits: torch.Tensor) -> None:
    """Leave only the tokens whose bit is set, in place. A model may have more logits than its tokenizer has tokens."""
    ones = np.unpackbits(np.frombuffer(bits, np.uint8), count=min(8 * len(bits), logits.numel()), bitorder="little")
    allowed = torch.from_numpy(ones.view(np.bool_)).to(logits.device)
    logits[: allowed.numel()].masked_fill_(~allowed, -torch.inf)
    logits[allowed.numel() :] = -torch.inf


def plain_greedy(sampling: SamplingParams) -> bool:
    return (
        sampling.temperature == 0
        and sampling.repetition_penalty == 1
        and sampling.presence_penalty == 0
        and sampling.frequency_penalty == 0
    )


def draw(
    logits: torch.Tensor, sampling: SamplingParams, generator: torch.Generator, prompt: list[int], written: list[int]
) -> torch.Tensor:
    """One token: penalties, temperature, top-k, top-p, in that order. Only the repetition penalty counts the prompt."""
    logits = logits.clone()
    if (penalty := sampling.repetition_penalty) != 1:
        seen = torch.tensor([*prompt, *written], device=logits.device)
        logits[seen] = torch.where(logits[seen] < 0, logits[seen] * penalty, logits[seen] / penalty)
    if written and (sampling.presence_penalty or sampling.frequency_penalty):
        counts = torch.bincount(torch.tensor(written, device=logits.device), minlength=logits.numel())
        logits -= sampling.presence_penalty * (counts > 0) + sampling.frequency_penalty * counts
    if sampling.temperature == 0:
        return logits.argmax()
    kept, tokens = torch.topk(logits / sampling.temperature, sampling.top_k or logits.numel())
    probabilities = kept.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    probabilities[1:][before[1:] >= sampling.top_p] = 0.0  # the likeliest token always stays
    return tokens[torch.multinomial(probabilities, 1, generator=generator)[0]]


def generator_for(device: torch.device, seed: int | None) -> torch.Generator:
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
