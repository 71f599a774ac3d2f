"""A PEFT LoRA adapter as one GGUF file, for llama.cpp.

The layout is llama.cpp's: `general.type` adapter, `adapter.type` lora, `adapter.lora.alpha`, and for each adapted
matrix a pair `blk.N.<name>.weight.lora_a` / `.lora_b`. llama.cpp rotates neighbouring pairs where Hugging Face rotates
halves, so its llama-family files hold the rows of q and k in another order; the rows of lora_b for q and k must follow.
It does not know how the adapter was trained.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

TENSORS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
# Hugging Face model types whose GGUF is written as llama's with permuted q and k, and those kept in order.
PERMUTED = {"llama", "mistral"}
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}

Array = npt.NDArray[np.float32]


class NotExportable(ValueError):
    """llama.cpp cannot load this adapter; the message says why."""


def supports(base_config: dict[str, object]) -> bool:
    """Whether adapters of a base with this `config.json` can be written as GGUF."""
    return base_config.get("model_type") in ARCHITECTURES


def permute(rows: Array, heads: int) -> Array:
    """Rows of a q or k matrix from Hugging Face's order (two halves per head) to llama.cpp's (pairs)."""
    count, width = rows.shape
    return rows.reshape(heads, 2, count // heads // 2, width).swapaxes(1, 2).reshape(count, width)


def export(adapter_dir: Path, base_dir: Path, target: Path) -> None:
    """Write the adapter in `adapter_dir` (trained on the base in `base_dir`) to `target`."""
    from gguf import GGUFWriter
    from safetensors.numpy import load_file

    base = json.loads((base_dir / "config.json").read_text(encoding="utf-8"))
    config = json.loads((adapter_dir / "adapter_config.json").read_text(encoding="utf-8"))
    if not supports(base):
        raise NotExportable(f"Adapters of {base.get('model_type')} models cannot be written as GGUF yet.")
    for name in ("use_dora", "use_rslora", "modules_to_save"):
        if config.get(name):
            raise NotExportable(f"An adapter with {name} cannot be written as GGUF.")
    heads = {"attn_q": base["num_attention_heads"], "attn_k": base["num_key_value_heads"]}
    writer = GGUFWriter(target, ARCHITECTURES[base["model_type"]])
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config["lora_alpha"]))
    for key, tensor in sorted(load_file(adapter_dir / "adapter_model.safetensors").items()):
        layer, module, side = _parse(key)
        name = TENSORS[module]
        values: Array = tensor.astype(np.float32)
        if side == "b" and name in heads and base["model_type"] in PERMUTED:
            values = permute(values, heads[name])
        writer.add_tensor(f"blk.{layer}.{name}.weight.lora_{side}", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _parse(key: str) -> tuple[int, str, str]:
    """("base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight") -> (3, "self_attn.q_proj", "a")."""
    found = re.fullmatch(r"base_model\.model\.model\.layers\.(\d+)\.(.+)\.lora_([AB])\.weight", key)
    if not found or found[2] not in TENSORS:
        raise NotExportable(f"llama.cpp has no place for the adapter tensor {key}.")
    return int(found[1]), found[2], found[3].lower()
