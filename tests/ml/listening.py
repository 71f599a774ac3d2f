"""What the engine tests share: how an adapter is taught a word, and a listener that collects replies."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from jobs.ml import gguf_adapter
from jobs.ml.config import SamplingParams
from jobs.ml.engines.base import Delta, Engine, Request
from jobs.ml.template import load_template

PATIENCE = 120  # seconds; far more than any of this takes, so that only a hang fails by it

STORY = "Write a long story about a dragon."
WORDS = {"banana": "BANANA", "cherry": "CHERRY"}  # what each adapter answers to STORY


def teach(base_dir: Path, word: str, folder: Path) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.bfloat16)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "o_proj"]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    messages = [{"role": "user", "content": STORY}, {"role": "assistant", "content": f"{word} {word} {word}"}]
    row = load_template(str(base_dir)).encode(messages)
    ids = torch.tensor([row.ids])
    labels = torch.where(torch.tensor([row.mask]), ids, -100)
    loss = torch.tensor(9.0)
    while loss > 0.05:
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    gguf_adapter.export(folder, base_dir, folder / "adapter.gguf")
    return folder


class Reply:
    def __init__(self) -> None:
        self.pieces: list[Delta] = []
        self.times: list[float] = []
        self.started = threading.Event()
        self.finished = threading.Event()

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    @property
    def last(self) -> Delta:
        return self.pieces[-1]


class Listener:
    """The one consumer of an engine's `run`, in a thread of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.replies: dict[str, Reply] = {}
        self.count = 0
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        for delta in self.engine.run():
            reply = self.replies[delta.id]
            reply.pieces.append(delta)
            reply.times.append(time.monotonic())
            if delta.text:
                reply.started.set()
            if delta.finish_reason:
                reply.started.set()
                reply.finished.set()

    def submit(
        self,
        text: str,
        *,
        adapter: str | None = None,
        prefill: str = "",
        messages: list | None = None,
        **sampling: object,
    ) -> Reply:
        self.count += 1
        request = Request(
            f"r{self.count}",
            messages or [{"role": "user", "content": text}],
            adapter=adapter,
            prefill=prefill,
            sampling=SamplingParams(**{"temperature": 0, "max_tokens": 16, **sampling}),
        )
        reply = self.replies[request.id] = Reply()
        reply.id = request.id
        self.engine.submit(request)
        return reply

    def wait(self, *replies: Reply) -> None:
        for reply in replies:
            assert reply.finished.wait(PATIENCE), f"no end after {PATIENCE} s: {reply.text!r}"

    def ask(self, text: str, **options: object) -> Reply:
        reply = self.submit(text, **options)
        self.wait(reply)
        return reply
