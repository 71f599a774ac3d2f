"""What the engines that run a model themselves share: the template, the limits of the base, the look at an adapter.

It reads files only (JSON and safetensors headers); it imports neither torch nor llama.cpp.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

from jobs.ml import base_model
from jobs.ml.config import MAX_RANK
from jobs.ml.engines.base import AdapterRef, ContextOverflow, Request
from jobs.ml.engines.hosted import HostedEngine, Job
from jobs.ml.template import load_template

MAX_HEADER = 64 << 20  # bytes; a safetensors header larger than this is not one


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0))


class LocalEngine(HostedEngine):
    """A base model folder on this machine. Raises ModelMissing if the folder is not whole."""

    def __init__(
        self, model_dir: Path, *, context_length: int, capacity: int, hosts: int, cache_tokens: int = sys.maxsize
    ) -> None:
        base_model.check(model_dir)
        self.model_dir = model_dir
        self.template = load_template(str(model_dir))
        self.config: dict[str, Any] = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
        context_length = min(context_length, int(self.config["max_position_embeddings"]))
        super().__init__(context_length=context_length, capacity=capacity, hosts=hosts, cache_tokens=cache_tokens)

    def _read(self, request: Request, adapter: AdapterRef | None) -> Job:
        prompt = self.template.prompt_ids(request.messages, prefill=request.prefill)
        if len(prompt) >= self.context_length:
            raise ContextOverflow(len(prompt), self.context_length - 1)
        limit = min(request.sampling.max_tokens, self.context_length - len(prompt))
        return Job(request, adapter, prompt, limit, prompt_tokens=len(prompt))

    def _check(self, adapter: AdapterRef) -> None:
        check_adapter(adapter, self.model_dir)


def check_adapter(adapter: AdapterRef, model_dir: Path) -> None:
    """Refuse an adapter whose shapes do not fit the base. Reads two headers, so it costs nothing to speak of."""
    try:
        config = json.loads((adapter.path / "adapter_config.json").read_text(encoding="utf-8"))
        shapes = tensor_shapes(adapter.path / "adapter_model.safetensors")
    except FileNotFoundError as error:
        name = Path(str(error.filename)).name
        raise ValueError(f"The adapter {adapter.name} is not whole: {name} is missing.") from error
    except (ValueError, struct.error) as error:
        raise ValueError(f"The adapter {adapter.name} is damaged and cannot be read.") from error
    if config.get("peft_type") != "LORA":
        raise ValueError(f"The adapter {adapter.name} is not a LoRA adapter, the only kind that can be used here.")
    rank = max((shape[0] for key, shape in shapes.items() if key.endswith("lora_A.weight")), default=0)
    if not 0 < rank <= MAX_RANK:
        raise ValueError(f"The adapter {adapter.name} has rank {rank}; ranks from 1 to {MAX_RANK} can be used.")
    base = base_shapes(model_dir)
    for key, shape in shapes.items():
        target, _, part = key.removeprefix("base_model.model.").partition(".lora_")
        out, width = base.get(f"{target}.weight", (0, 0))
        if (part, shape[-1]) != ("A.weight", width) and (part, shape[0]) != ("B.weight", out):
            raise ValueError(f"The adapter {adapter.name} was made for another base model: {target} does not fit.")


def base_shapes(model_dir: Path) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {}
    for path in sorted(model_dir.glob("*.safetensors")):
        shapes |= tensor_shapes(path)
    return shapes


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """The names and shapes in a safetensors file, from its header alone."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > MAX_HEADER:
            raise ValueError("The header is too long.")
        header = json.loads(stream.read(length))
    return {key: entry["shape"] for key, entry in header.items() if key != "__metadata__"}
