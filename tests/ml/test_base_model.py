"""The base model's folder: what it holds, and how damage is noticed."""

import json
import shutil
import subprocess
import sys

import pytest

from jobs.ml import base_model
from tests.ml.conftest import ROOT


def test_the_prepared_base_is_described(base_dir):
    described = base_model.check(base_dir, thorough=True)
    assert described["name"] == "SmolLM2-135M-Instruct"
    assert (described["parameters"], described["context_length"]) == (134_515_008, 8192)
    assert described["licence"] == "apache-2.0"
    assert set(described["files"]) >= {"model.safetensors", "model.gguf", "tokenizer.json", "chat_template.jinja"}


def test_it_answers_sensibly(base_dir):
    import torch
    from transformers import AutoModelForCausalLM

    from jobs.ml.template import ChatTemplate

    template = ChatTemplate(base_dir)
    ids = template.prompt_ids([{"role": "user", "content": "What is the capital of France?"}])
    model = AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.bfloat16)
    made = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0, len(ids) :]
    assert template.tokenizer.decode(made.tolist()) == "The capital of France is Paris."


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_damaged_folder_is_noticed(toy_base, tmp_path, damage):
    folder = shutil.copytree(toy_base, tmp_path / "toy")
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    match damage:
        case "missing":
            weights.unlink()
        case "cut":
            weights.write_bytes(content[:-10])
        case "changed":
            weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(base_model.ModelMissing, match=r"damaged: model\.safetensors"):
        base_model.check(folder, thorough=True)


def test_preparing_what_is_there_does_nothing_and_needs_no_source(base_dir):
    before = (base_dir / "studio.json").stat().st_mtime_ns
    base_model.prepare(base_dir, gguf=None)
    assert (base_dir / "studio.json").stat().st_mtime_ns == before


def test_a_damaged_download_is_refused_and_leaves_nothing(tmp_path):
    source = tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf"
    source.write_bytes(b"GGUF but cut short")
    with pytest.raises(base_model.ModelUnusable, match="Download it again"):
        base_model.prepare(tmp_path / "models" / "base", source)
    assert list((tmp_path / "models").iterdir()) == []


def test_what_is_missing_is_said_in_one_line(tmp_path):
    argv = [sys.executable, "-m", "jobs.ml", "prepare", str(tmp_path / "base"), "--gguf", str(tmp_path / "no.gguf")]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert json.loads(done.stdout)["cause"] == "model_missing"
    assert "Traceback" not in done.stderr


def test_what_the_web_process_may_import_stays_free_of_torch():
    names = "base_model, config, data, failures, inputs, memory, plan, schedule, template"
    libraries = ("torch", "transformers", "peft", "numpy")
    code = f"import sys; from jobs.ml import {names}; print([name for name in {libraries} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
