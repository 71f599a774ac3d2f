"""What single engines promise beside the contract, and the small parts they are made of."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.ml import base_model
from jobs.ml.base_model import ModelMissing
from jobs.ml.config import SamplingParams
from jobs.ml.engines.base import AdapterRef
from jobs.ml.engines.local import check_adapter
from jobs.ml.engines.open import choose, open_engine
from jobs.ml.engines.text import Decoder, StopFilter
from jobs.ml.template import load_template

from .listening import STORY, WORDS, Listener

# --- text ---


@pytest.mark.parametrize(
    ("stop", "pieces", "shown"),
    [
        (("END",), ["one E", "N", "D two"], ["one ", "", ""]),
        (("END",), ["one E", "N", "O two"], ["one ", "", "ENO two"]),
        (("aab",), ["a", "a", "a", "b!"], ["", "", "a", ""]),
        (("b", "abc"), ["a", "b", "c"], ["", "a", ""]),
        ((), ["one ", "\ufffd", "two"], ["one ", "", "two"]),
    ],
)
def test_a_possible_stop_string_is_held_back_until_it_is_decided(stop, pieces, shown) -> None:
    text = StopFilter(stop)
    out = []
    for piece in pieces:
        out.append("" if text.stopped else text.add(piece))
    assert out == shown


def test_what_is_held_back_at_the_end_is_not_lost() -> None:
    text = StopFilter(("END",))
    assert text.add("the EN") + text.rest() == "the EN"


def test_the_decoder_waits_for_whole_characters(base_dir: Path) -> None:
    tokenizer = load_template(str(base_dir)).tokenizer
    text = " 🎉 Žluťoučký 日本"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    decoder = Decoder(tokenizer)
    pieces = [decoder.add(token) for token in ids]
    assert len(ids) > len([piece for piece in pieces if piece])
    assert "".join(pieces) == text


# --- transformers ---


@pytest.fixture(scope="module")
def reference(base_dir: Path) -> Iterator[Listener]:
    from jobs.ml.engines.torch_engine import TorchEngine

    engine = TorchEngine(base_dir, threads=1)
    yield Listener(engine)
    engine.close()


def test_greedy_transformers_is_plain_generate_token_for_token(
    base_dir: Path,
    adapters: dict[str, AdapterRef],
    reference: Listener,
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    template = load_template(str(base_dir))
    for adapter in adapters.values():
        reference.engine.load(adapter)
    asked = [STORY, "What is the capital of France?", "Say: 日本語 🎉"]
    replies = {(name, text): reference.submit(text, adapter=name) for name in (None, "banana") for text in asked}
    bound = [reference.submit(STORY, json_schema={"enum": ["blue"]}, adapter=name) for name in (None, "banana")]
    reference.wait(*replies.values(), *bound)
    assert [reply.text for reply in bound] == ['"blue"'] * 2
    model = AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32)
    for name in (None, "banana"):
        if name:
            model = PeftModel.from_pretrained(model, adapters[name].path)
        for text in asked:
            ids = torch.tensor([template.prompt_ids([{"role": "user", "content": text}])])
            with torch.no_grad():
                out = model.generate(input_ids=ids, max_new_tokens=16, do_sample=False)[0, ids.shape[1] :].tolist()
            reply = replies[name, text]
            assert reply.last.completion_tokens == len(out)
            whole = template.tokenizer.decode(out, skip_special_tokens=True)
            assert reply.text == whole.rstrip("\ufffd")  # the limit may fall inside a character


def test_drawing_follows_the_parameters() -> None:
    import torch

    from jobs.ml.engines.drawing import draw

    logits = torch.tensor([3.0, 2.0, 1.0, -1.0])
    generator = torch.Generator()

    def drawn(
        times: int = 200, prompt: list[int] | None = None, written: list[int] | None = None, **values
    ) -> set[int]:
        sampling = SamplingParams(**{"temperature": 1.0, "top_p": 1.0, **values})
        return {int(draw(logits, sampling, generator, prompt or [], written or [])) for _ in range(times)}

    assert drawn(2000) == {0, 1, 2, 3}
    assert drawn(temperature=0) == {0}
    assert drawn(top_k=2) == {0, 1}
    assert drawn(top_p=0.0) == {0}
    assert drawn(top_p=0.7) == {0, 1}
    assert drawn(temperature=0, repetition_penalty=2.0, prompt=[0]) == {1}
    assert drawn(temperature=0, presence_penalty=1.5, prompt=[0]) == {0}
    assert drawn(temperature=0, presence_penalty=1.5, written=[0]) == {1}
    assert drawn(temperature=0, frequency_penalty=0.6, written=[0]) == {0}
    assert drawn(temperature=0, frequency_penalty=0.6, written=[0, 0]) == {1}
    assert logits.tolist() == [3.0, 2.0, 1.0, -1.0]


def test_only_what_is_allowed_may_be_drawn_and_no_token_that_nobody_knows() -> None:
    import torch

    from jobs.ml.engines.drawing import keep_to

    logits = torch.arange(20.0)
    keep_to(bytes([0b1000_0001, 0b10, 0]), logits)
    assert {at: value for at, value in enumerate(logits.tolist()) if value > -torch.inf} == {0: 0.0, 7: 7.0, 9: 9.0}
    narrow, wide = torch.zeros(6), torch.zeros(12)  # fewer and more logits than there are tokens
    for logits in (narrow, wide):
        keep_to(bytes([0b1010_0001]), logits)
    assert [at for at, value in enumerate(narrow.tolist()) if value == 0] == [0, 5]
    assert [at for at, value in enumerate(wide.tolist()) if value == 0] == [0, 5, 7]


def test_a_model_whose_tokenizer_llguidance_cannot_read_answers_without(toy_base: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(toy_base, tmp_path / "toy")
    spec = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(
        json.dumps({**spec, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False}})
    )
    (folder / "studio.json").unlink()
    base_model.write_description(folder, name="toy", licence="")
    engine = open_engine("transformers", folder, threads=1)
    try:
        reply = Listener(engine).ask("Hello!", json_schema={"enum": ["blue"]}, max_tokens=4)
    finally:
        engine.close()
    assert (engine.constrains, reply.last.finish_reason) == (False, "length")


# --- llama.cpp ---


@pytest.mark.parametrize(
    ("gigabytes", "slot", "rooms"),
    [
        (4, 94e6, (4, 2, 2)),  # SmolLM2-135M, 4,096 tokens
        (24, 94e6, (8, 4, 8)),
        (512, 94e6, (8, 4, 8)),
        (24, 2e9, (1, 1, 1)),  # a base whose caches are large still answers, one at a time
    ],
)
def test_how_many_replies_llama_makes_at_a_time_follows_from_the_memory(gigabytes, slot, rooms) -> None:
    from jobs.ml.engines.llama_engine import MEMORY_SHARE, Rooms

    found = Rooms.within(int(gigabytes * 1e9) // MEMORY_SHARE, int(slot))
    assert (found.base, found.adapter, found.adapters) == rooms
    assert found.base < found.capacity <= 2 * found.base


def test_llama_recovers_when_an_adapter_file_vanishes_and_comes_back(
    base_dir: Path,
    adapters: dict[str, AdapterRef],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(adapters["banana"].path, tmp_path / "copy")
    engine = open_engine("llama", base_dir, threads=1)
    chat = Listener(engine)
    engine.load(AdapterRef("copy", folder))
    (folder / "adapter.gguf").rename(tmp_path / "away")
    reply = chat.ask(STORY, adapter="copy")
    assert reply.last.finish_reason == "error"
    assert "adapter copy" in reply.last.error
    (tmp_path / "away").rename(folder / "adapter.gguf")
    assert WORDS["banana"] in chat.ask(STORY, adapter="copy").text
    engine.close()


def test_llama_leaves_signals_and_stdout_alone(base_dir: Path) -> None:
    script = (
        "import signal, os, sys; from pathlib import Path\n"
        "from jobs.ml.engines.open import open_engine\n"
        "from jobs.ml.engines.base import Request\n"
        "seen = []\n"
        "for s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, lambda number, frame: seen.append(number))\n"
        f"engine = open_engine('llama', Path({str(base_dir)!r}), threads=1)\n"
        "engine.submit(Request('r', [{'role': 'user', 'content': 'Hello!'}]))\n"
        "next(iter(engine.run()))\n"
        "os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGINT)\n"
        "engine.close()\n"
        "assert seen == [15, 2], seen\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


# --- choosing and checking ---


def test_a_host_without_a_gpu_gets_llama_if_there_is_a_gguf(base_dir: Path, tmp_path: Path) -> None:
    expected = "transformers" if Path("/dev/nvidiactl").exists() else "llama"
    assert choose(base_dir) == expected
    assert choose(tmp_path) == "transformers"


@pytest.mark.parametrize("kind", ["llama", "transformers"])
def test_a_missing_base_model_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="nowhere"):
        open_engine(kind, tmp_path / "nowhere")


def test_an_adapter_of_another_base_is_refused(base_dir: Path, tmp_path: Path) -> None:
    def write(shapes: dict[str, list[int]], peft_type: str = "LORA") -> AdapterRef:
        header = json.dumps({name: {"dtype": "F32", "shape": s, "data_offsets": [0, 0]} for name, s in shapes.items()})
        (tmp_path / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
        (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": peft_type}))
        return AdapterRef("mine", tmp_path)

    q = "base_model.model.model.layers.0.self_attn.q_proj"
    check_adapter(write({f"{q}.lora_A.weight": [8, 576], f"{q}.lora_B.weight": [576, 8]}), base_dir)
    for wrong in (
        {f"{q}.lora_A.weight": [8, 4096], f"{q}.lora_B.weight": [576, 8]},
        {f"{q}.lora_A.weight": [8, 576], f"{q}.lora_B.weight": [4096, 8]},
        {f"{q.replace('layers.0', 'layers.99')}.lora_A.weight": [8, 576]},
    ):
        with pytest.raises(ValueError, match="another base model"):
            check_adapter(write(wrong), base_dir)
    with pytest.raises(ValueError, match="rank 300"):
        check_adapter(write({f"{q}.lora_A.weight": [300, 576], f"{q}.lora_B.weight": [576, 300]}), base_dir)
    with pytest.raises(ValueError, match="not a LoRA"):
        check_adapter(write({}, "IA3"), base_dir)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="damaged"):
        check_adapter(AdapterRef("mine", tmp_path), base_dir)
