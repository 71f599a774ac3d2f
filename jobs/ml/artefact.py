"""The result of a fine-tune: a folder in PEFT's layout that other programs load as it is.

Adapter weights and configuration, the same as GGUF where llama.cpp knows the architecture, the tokenizer and template
it was trained with, a model card, and the manifest. It does not know how the weights came about.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from jobs.ml import checkpoint, gguf_adapter
from jobs.ml.config import RunConfig

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def write(
    target: Path,
    config: RunConfig,
    adapter: checkpoint.Tensors,
    adapter_config: dict[str, Any],
    *,
    metrics: dict[str, Any],
    provenance: dict[str, Any],
) -> str:
    """Write the adapter folder and return its manifest's SHA-256."""
    base_dir = Path(config.base_model_dir)
    base_config = json.loads((base_dir / "config.json").read_text(encoding="utf-8"))

    def fill(work: Path) -> None:
        checkpoint.save_tensors(adapter, work / "adapter_model.safetensors")
        text = json.dumps(adapter_config, indent=2, sort_keys=True)
        (work / "adapter_config.json").write_text(text, encoding="utf-8")
        for name in TOKENIZER_FILES:
            if (base_dir / name).exists():
                shutil.copyfile(base_dir / name, work / name)
        if gguf_adapter.supports(base_config):
            gguf_adapter.export(work, base_dir, work / "adapter.gguf")
        (work / "README.md").write_text(model_card(config, metrics, provenance), encoding="utf-8")

    return checkpoint.write_folder(target, fill, {"metrics": metrics, "provenance": provenance})


def model_card(config: RunConfig, metrics: dict[str, Any], provenance: dict[str, Any]) -> str:
    train = config.train_config
    measured = "\n".join(f"| {name} | {value:.6g} |" for name, value in metrics.items() if value is not None)
    options = "\n".join(f"| {name} | {value} |" for name, value in train.to_dict().items() if name != "lora")
    return f"""---
base_model: {config.base_model}
library_name: peft
pipeline_tag: text-generation
tags:
- lora
- sft
---

# A LoRA adapter for {config.base_model}

Load it on top of its base:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{config.base_model}"), "path/to/this/folder")
```

Prompts must be written with the chat template in this folder; it is the one the adapter was trained with.

## Measured

| | |
|---|---|
{measured}

## Made with

LoRA of rank {train.lora.r}, alpha {train.lora.alpha}, dropout {train.lora.dropout}.
Linear layers adapted: {train.lora.target_modules}.

| | |
|---|---|
{options}

## Where it comes from

```json
{json.dumps(provenance, indent=2, ensure_ascii=False)}
```
"""
