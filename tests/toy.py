"""A toy model that trains in seconds, under the real base's tokenizer and template."""

import json
import shutil
from pathlib import Path

from jobs.ml import base_model

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")


def make_toy(base_dir: Path, folder: Path) -> Path:
    """Two llama layers from scratch."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    real = json.loads((base_dir / "config.json").read_text())
    config = LlamaConfig(
        vocab_size=real["vocab_size"],
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=real["bos_token_id"],
        eos_token_id=real["eos_token_id"],
        pad_token_id=real["pad_token_id"],
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(base_dir / name, folder / name)
    base_model.write_description(folder, name="toy", licence="")
    return folder
