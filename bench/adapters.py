"""Eight people on eight adapters of one base, at once: what does it cost against eight people on one?

    python -m bench.adapters [--rounds 3] [--tokens 24]

Transformers engine: all eight in one continuous batch, against what transformers and PEFT offer, a batching manager for
each adapter over shared weights (promise: 2 times as fast, and each reply token for token that of PEFT alone).
llama.cpp engine: eight streams on eight adapters against eight on one (promise: 0.8 of the speed).
The adapters are rank 16 on all linear layers, filled with noise. Figures are tokens/s of all streams together, from the
first request to the last token, after one turn to warm up. Each turn asks other questions, so no prefix is reused.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import Claim, in_turns, options, report, versions
from jobs.ml import gguf_adapter
from jobs.ml.config import SamplingParams
from jobs.ml.engines.base import AdapterRef, Engine, Request
from jobs.ml.engines.local import cores
from jobs.ml.engines.open import open_engine
from jobs.ml.template import load_template
from tests.stack import prepared_models

COUNT = 8
PEER = "a manager for each adapter"


def make_adapters(base: Path, folder: Path) -> list[AdapterRef]:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    made = []
    for seed in range(COUNT):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=16, target_modules="all-linear"))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        made.append(AdapterRef(f"a{seed}", folder / f"a{seed}"))
        model.save_pretrained(made[-1].path)
        gguf_adapter.export(made[-1].path, base, made[-1].path / "adapter.gguf")
    return made


def question(turn: int) -> str:
    return f"Story number {turn}: write about a lighthouse keeper."


class Asking:
    """An engine, and the time that so many replies at once take it."""

    def __init__(self, engine: Engine, adapters: list[AdapterRef], tokens: int) -> None:
        self.engine, self.tokens, self.turns = engine, tokens, itertools.count()
        for adapter in adapters:
            engine.load(adapter)

    def __call__(self, names: list[str], text: str = "") -> tuple[float, list[str]]:
        turn = next(self.turns)
        sampling = SamplingParams(temperature=0, max_tokens=self.tokens)
        replies = dict.fromkeys((f"{turn}-{at}" for at in range(len(names))), "")
        began, count, open_replies = time.perf_counter(), 0, len(names)
        for request_id, name in zip(replies, names, strict=True):
            said = [{"role": "user", "content": text or question(turn)}]
            self.engine.submit(Request(request_id, said, name, sampling))
        for delta in self.engine.run():
            replies[delta.id] += delta.text
            if delta.finish_reason:
                assert not delta.error, delta.error
                count, open_replies = count + delta.completion_tokens, open_replies - 1
                if not open_replies:
                    break
        return count / (time.perf_counter() - began), list(replies.values())


def peft_model(base: Any, adapter: AdapterRef) -> Any:
    from peft import PeftModel

    shared = {id(tensor): tensor for tensor in itertools.chain(base.parameters(), base.buffers())}
    return PeftModel.from_pretrained(copy.deepcopy(base, shared), adapter.path).get_base_model().eval()


class Managers:
    """transformers' continuous batching as its documentation shows it, one manager for each adapter."""

    def __init__(self, base_dir: Path, adapters: list[AdapterRef], tokens: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

        self.tokens, self.turns = tokens, itertools.count()
        self.template = load_template(str(base_dir))
        base = AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32, attn_implementation="sdpa").eval()
        self.models = [peft_model(base, adapter) for adapter in adapters]
        greedy = GenerationConfig(do_sample=False, eos_token_id=self.template.eos_id, pad_token_id=self.template.eos_id)
        config = {"num_blocks": 64, "max_batch_tokens": 128, "max_requests_per_batch": COUNT, "use_cuda_graph": False}
        self.managers = [
            model.init_continuous_batching(greedy, ContinuousBatchingConfig(**config)) for model in self.models
        ]
        for manager in self.managers:
            manager.start()

    def __call__(self) -> float:
        text, counts = question(1000 + next(self.turns)), []
        prompt = self.template.prompt_ids([{"role": "user", "content": text}])

        def wait(manager: Any) -> None:
            manager.add_request(prompt, max_new_tokens=self.tokens)
            counts.append(len(next(iter(manager)).generated_tokens))

        began = time.perf_counter()
        threads = [threading.Thread(target=wait, args=(manager,)) for manager in self.managers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - began)

    def alone(self, text: str) -> list[str]:
        """Each adapter's reply by PEFT and plain `generate`."""
        import torch

        for manager in self.managers:
            manager.stop()
        ids = torch.tensor([self.template.prompt_ids([{"role": "user", "content": text}])])
        found = []
        for model in self.models:
            with torch.no_grad():
                out = model.generate(input_ids=ids, max_new_tokens=self.tokens, do_sample=False)[0, ids.shape[1] :]
            found.append(self.template.tokenizer.decode(out.tolist(), skip_special_tokens=True).replace("\ufffd", ""))
        return found


def transformers_claims(base: Path, adapters: list[AdapterRef], rounds: int, tokens: int) -> list[Claim]:
    names = [adapter.name for adapter in adapters]
    ask, peer = Asking(open_engine("transformers", base), adapters, tokens), Managers(base, adapters, tokens)
    ask(names), peer()
    one: list[float] = []

    def mixed() -> float:
        one.append(ask(names[:1] * COUNT)[0])
        return ask(names)[0]

    ours, theirs = in_turns(mixed, peer, rounds)
    said, alone = ask(names, question(-1))[1], peer.alone(question(-1))
    ask.engine.close()
    same = [float(sum(a == b for a, b in zip(said, alone, strict=True)))]
    return [
        Claim("transformers, 8 adapters in one batch", "tokens/s", ours, PEER, theirs, at_least=2.0),
        Claim("transformers, 8 adapters", "tokens/s", ours, "8 streams on one of them", one),
        Claim("replies that are PEFT's, token for token, of 8", "replies", same, at_least=8.0),
    ]


def llama_claims(base: Path, adapters: list[AdapterRef], rounds: int, tokens: int) -> list[Claim]:
    names = [adapter.name for adapter in adapters]
    ask = Asking(open_engine("llama", base), adapters, tokens)

    def run(names: list[str]) -> Callable[[], float]:
        ask(names)
        return lambda: ask(names)[0]

    ours, theirs = in_turns(run(names), run(names[:1] * COUNT), rounds)
    ask.engine.close()
    return [Claim("llama.cpp, 8 adapters", "tokens/s", ours, "8 streams on one of them", theirs, at_least=0.8)]


def main() -> None:
    given = options(__doc__, rounds=3, tokens=24)
    base = prepared_models() / "smollm2-135m-instruct"
    with tempfile.TemporaryDirectory() as folder:
        adapters = make_adapters(base, Path(folder))
        claims = [make(base, adapters, given.rounds, given.tokens) for make in (llama_claims, transformers_claims)]
    facts = {"versions": versions("torch", "transformers", "peft", "xllamacpp"), "threads": cores()}
    report([*itertools.chain(*claims)], facts, given.out)


if __name__ == "__main__":
    main()
