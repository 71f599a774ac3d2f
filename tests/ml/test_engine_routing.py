"""Several adapters in one batch of the transformers engine: each reply is that of its adapter alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.ml.engines.base import AdapterRef
from jobs.ml.engines.open import open_engine
from jobs.ml.template import load_template

from .listening import Listener

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS = {  # unequal in rank, in layers and in how they are scaled
    "small": {"r": 2, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "wide": {"r": 16, "lora_alpha": 16, "target_modules": ALL},
    "rooted": {"r": 8, "lora_alpha": 4, "target_modules": ALL, "use_rslora": True},
    "uneven": {"r": 4, "target_modules": ALL, "rank_pattern": {"q_proj": 8}, "alpha_pattern": {"q_proj": 32}},
}
LONG = "Tell me about the sea, the moon, the stars, the wind and the rain, and then about " + "the river and " * 20


@pytest.fixture(scope="module")
def kinds(toy_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, AdapterRef]:
    folder = tmp_path_factory.mktemp("kinds")
    return {name: AdapterRef(name, make(toy_base, folder / name, **kind)) for name, kind in KINDS.items()}


def make(base: Path, folder: Path, seed: int = 0, **options: object) -> Path:
    """An adapter with much to say, and no sense in it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), LoraConfig(**options))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


def alone(base: Path, text: str, adapter: AdapterRef | None, **options: float) -> str:
    """What transformers and PEFT say by themselves."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    template = load_template(str(base))
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter.path)
    ids = torch.tensor([template.prompt_ids([{"role": "user", "content": text}])])
    with torch.no_grad():
        out = model.generate(input_ids=ids, max_new_tokens=16, do_sample=False, **options)[0, ids.shape[1] :]
    return template.tokenizer.decode(out.tolist(), skip_special_tokens=True).replace("\ufffd", "")


@pytest.fixture(scope="module")
def chat(toy_base: Path, kinds: dict[str, AdapterRef]) -> Iterator[Listener]:
    engine = open_engine("transformers", toy_base, threads=1)
    for adapter in kinds.values():
        engine.load(adapter)
    yield Listener(engine)
    engine.close()


def test_every_token_goes_through_its_own_adapter(toy_base: Path, kinds: dict[str, AdapterRef]) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from jobs.ml.engines.routing import Routing, read

    def base() -> torch.nn.Module:
        return AutoModelForCausalLM.from_pretrained(toy_base, dtype=torch.float32)

    model = base()
    routing = Routing(model, most=3)
    weights = {name: read(kinds[name].path, 1, torch.device("cpu"), torch.float32) for name in KINDS}
    x = torch.randn(1, 12, 64)
    layer = "model.layers.1.self_attn.q_proj"
    expected = {None: base().get_submodule(layer)(x)}
    for name in KINDS:
        expected[name] = PeftModel.from_pretrained(base(), kinds[name].path).get_base_model().get_submodule(layer)(x)
    batches = [  # the last ones need more adapters than may stay in place
        [("small", 12)],
        [("small", 5), (None, 3), ("wide", 4)],
        [(None, 12)],
        [("wide", 1), ("small", 9), ("wide", 2)],
        [("rooted", 6), ("uneven", 6)],
        [("uneven", 2), (None, 1), ("small", 3), ("wide", 6)],
    ]
    with torch.no_grad():
        for batch in batches:
            routing.route([(weights.get(name), count) for name, count in batch])
            out, at = model.get_submodule(layer)(x), 0
            for name, count in batch:
                rows = slice(at, at + count)
                torch.testing.assert_close(out[:, rows], expected[name][:, rows], atol=1e-5, rtol=1e-5)
                at += count


def test_the_last_layer_sees_only_the_last_token_of_each_request(toy_base: Path, kinds: dict[str, AdapterRef]) -> None:
    import torch

    from jobs.ml.engines.routing import Routing, Weights

    model = torch.nn.Sequential(torch.nn.Linear(4, 6))
    routing = Routing(model, most=2)
    one, other = (Weights(n, {"0": (torch.randn(2, 4), torch.randn(2, 6))}) for n in (1, 2))
    batch = [(one, 5), (other, 3), (None, 2)]
    x = torch.randn(10, 4)
    with torch.no_grad():
        routing.route(batch)
        whole = model(x)
        torch.testing.assert_close(model(x[[4, 7, 9]]), whole[[4, 7, 9]])


def test_adapters_of_all_kinds_in_one_batch_say_what_each_says_alone(
    toy_base: Path, kinds: dict[str, AdapterRef], chat: Listener
) -> None:
    names = [None, *KINDS, "small", None]
    replies = [chat.submit("What comes after 3?", adapter=name) for name in names]
    chat.wait(*replies)
    for name, reply in zip(names, replies, strict=True):
        assert reply.text == alone(toy_base, "What comes after 3?", kinds.get(name)), name
    assert len({reply.text for reply in replies}) == 1 + len(KINDS)


def test_what_one_adapter_has_read_is_not_taken_for_what_another_reads(
    toy_base: Path, kinds: dict[str, AdapterRef], chat: Listener
) -> None:
    for name in ("wide", None, "rooted", "wide"):  # one after the other, with several pages in the cache each time
        assert chat.ask(LONG, adapter=name).text == alone(toy_base, LONG, kinds.get(name)), name
    penalised = alone(toy_base, LONG, kinds["wide"], repetition_penalty=1.5)  # which counts the prompt's tokens too
    assert chat.ask(LONG, adapter="wide", repetition_penalty=1.5).text == penalised


def test_an_adapter_comes_and_goes_while_others_answer(
    toy_base: Path, kinds: dict[str, AdapterRef], chat: Listener, tmp_path: Path
) -> None:
    first, second = (AdapterRef("guest", make(toy_base, tmp_path / str(n), n, **KINDS["wide"])) for n in (1, 2))
    long = chat.submit("What comes after 3?", adapter="small", max_tokens=100)
    assert long.started.wait(60)
    for guest in (first, second):  # another one under the same name is another one
        chat.engine.load(guest)
        reply = chat.submit(LONG, adapter="guest")
        chat.engine.unload("guest")
        chat.wait(reply)
        assert reply.text == alone(toy_base, LONG, guest)
    chat.wait(long)
    assert long.text.startswith(alone(toy_base, "What comes after 3?", kinds["small"]))


def test_a_damaged_adapter_fails_its_reply_and_no_other(
    toy_base: Path, kinds: dict[str, AdapterRef], chat: Listener, tmp_path: Path
) -> None:
    damaged = AdapterRef("damaged", make(toy_base, tmp_path / "damaged", **KINDS["wide"]))
    weights = damaged.path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    chat.engine.load(damaged)  # its header is whole
    good = chat.submit("What comes after 3?", adapter="small")
    bad = chat.ask("What comes after 3?", adapter="damaged")
    chat.wait(good)
    assert (bad.last.finish_reason, good.last.finish_reason) == ("error", "length")
    assert "adapter damaged cannot be read" in bad.last.error
    assert chat.ask("Hello!").last.finish_reason == "length"
