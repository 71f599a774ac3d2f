"""What a run will take, before it starts: steps, tokens, time, memory, and what a person should know about it first.

Torch-free: the web form calls it. Speed comes from the caller (measured on an earlier run, or `expected_speed`); memory
is calibrated on the trainer of this package. It does not know data sets or accounts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.ml import data, passes
from jobs.ml.base_model import describe
from jobs.ml.config import TARGETS, TrainConfig
from jobs.ml.schedule import evaluation_steps

MIB = 1024**2
RUNTIME = 500 * MIB  # Python, torch and transformers before they hold a weight
HEAD_CHUNK = 512  # as in jobs.ml.fused.head, which this module must not import
FRAGMENTATION = 1.15
START_SECONDS = 15.0
FEW_STEPS = 30
HIGH_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Plan:
    steps: int
    steps_per_epoch: int
    tokens: int
    seconds: float
    memory_bytes: int
    memory_total: int
    cut_rows: int
    dropped_rows: int
    warnings: list[str] = field(default_factory=list)


def expected_speed(parameters: int, *, threads: int = 2) -> float:
    """Training tokens per second on CPU cores, where nothing has been measured yet: 300 a core for a 135M base. A core with
    AVX-512 bf16 makes 430 to 470, one that multiplies at a third of its rate 170."""
    return 300 * max(1, threads) * 135e6 / max(1, parameters)


def plan(
    lengths: Sequence[int],
    config: TrainConfig,
    *,
    model_dir: Path,
    tokens_per_second: float,
    memory_total: int,
    validation_lengths: Sequence[int] = (),
    probes: int = 0,
    threads: int = 1,
    accelerator: bool = False,
) -> Plan:
    """`lengths` are the whole rows in tokens, as the template writes them; `threads` are those of the trainer."""
    parameters = describe(model_dir)["parameters"]
    shape = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    overlong = sum(length > config.max_length for length in lengths)
    cut = overlong if config.overlong == "truncate" else 0
    dropped = overlong - cut
    kept = [min(length, config.max_length) for length in lengths if length <= config.max_length or not dropped]
    if not kept:
        return Plan(0, 0, 0, 0.0, 0, memory_total, cut, dropped, [_nothing_left(lengths, config)])
    steps, per_epoch = data.total_steps(len(kept), config), data.steps_per_epoch(len(kept), config)
    tokens = round(sum(kept) * steps / per_epoch)
    evaluations = len(evaluation_steps(steps, config))
    # Without a gradient it is a third of the work; a token of all sample answers together costs about 20 of training.
    per_evaluation = sum(min(length, config.max_length) for length in validation_lengths) / (3 * tokens_per_second)
    per_evaluation += config.probe_tokens * 20 / tokens_per_second if probes else 0.0
    seconds = START_SECONDS + tokens / tokens_per_second + evaluations * per_evaluation
    memory = _memory(max(kept), config, shape, parameters, 0 if accelerator else threads)
    made = Plan(steps, per_epoch, tokens, round(seconds, 1), memory, memory_total, cut, dropped)
    made.warnings.extend(_warnings(made, len(kept), len(validation_lengths), config))
    return made


def lora_parameters(config: TrainConfig, shape: dict[str, Any]) -> int:
    """Trainable weights of the adapter on a llama-shaped decoder."""
    hidden, heads = shape["hidden_size"], shape["num_attention_heads"]
    head = shape.get("head_dim") or hidden // heads
    keys = shape.get("num_key_value_heads", heads) * head
    sizes = {
        "q_proj": hidden + heads * head,
        "k_proj": hidden + keys,
        "v_proj": hidden + keys,
        "o_proj": heads * head + hidden,
        "gate_proj": hidden + shape["intermediate_size"],
        "up_proj": hidden + shape["intermediate_size"],
        "down_proj": shape["intermediate_size"] + hidden,
    }
    per_layer = sum(sizes[name] for name in TARGETS[config.lora.target_modules])
    return int(config.lora.r * per_layer * shape["num_hidden_layers"])


def _memory(longest: int, config: TrainConfig, shape: dict[str, Any], parameters: int, threads: int) -> int:
    """Weights in bf16, the adapter and what AdamW keeps of it in fp32; activations, a chunk of logits and gradients of each
    pass under way. No threads: an accelerator."""
    layers: int = shape["num_hidden_layers"]
    in_a_pass = max(longest, passes.budget(config, accelerator=not threads))
    at_a_time = 1 if config.lora.dropout else min(max(1, threads), passes.MOST)
    layer: int = 2 * (8 * shape["hidden_size"] + 4 * shape["intermediate_size"])
    if config.gradient_checkpointing:
        activations = in_a_pass * (2 * shape["hidden_size"] * layers + layer)
    else:
        activations = in_a_pass * layer * layers
    logits: int = 2 * 2 * HEAD_CHUNK * shape["vocab_size"]
    adapter = lora_parameters(config, shape)
    kept = RUNTIME + 2 * parameters + 20 * adapter
    total: float = (kept + at_a_time * (activations + logits + 2 * adapter)) * FRAGMENTATION
    return round(total)


def _nothing_left(lengths: Sequence[int], config: TrainConfig) -> str:
    if not lengths:
        return "There are no training rows."
    return (
        f"Every row is longer than {config.max_length} tokens, so none is left to train on. Raise the maximum length."
    )


def _warnings(made: Plan, rows: int, validation_rows: int, config: TrainConfig) -> list[str]:
    found = []
    if made.memory_total and made.memory_bytes > made.memory_total:
        needed, there = made.memory_bytes / 2**30, made.memory_total / 2**30
        more = "" if config.gradient_checkpointing else ", or turn on gradient checkpointing"
        advice = f"Lower the maximum length or the batch size{more}."
        found.append(f"This needs about {needed:.1f} GiB of memory and the machine has {there:.1f}. {advice}")
    if made.steps < FEW_STEPS:
        found.append(
            f"Only {made.steps} steps: the model will barely change. More rows or more epochs make more steps."
        )
    if made.cut_rows:
        found.append(f"{made.cut_rows} of {rows} rows are longer than {config.max_length} tokens and lose their end.")
    if made.dropped_rows:
        found.append(f"{made.dropped_rows} rows are longer than {config.max_length} tokens and are left out.")
    if config.learning_rate > HIGH_LEARNING_RATE:
        found.append(f"A learning rate of {config.learning_rate:g} is high for LoRA: the loss may run away.")
    if not validation_rows:
        found.append("There are no validation rows, so nothing will show when the model stops getting better.")
    return found
