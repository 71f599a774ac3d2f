"""How fast, in how much memory, and how exactly does the trainer fine-tune, against TRL's SFTTrainer?

    python -m bench.sft [--steps 3] [--rows 8] [--threads 2]

LoRA of rank 16 on all linear layers of SmolLM2-135M, conversations of mixed length (mean about 190 tokens, seeded), the
same rows in the same order, first weights, learning rates and threads for all sides. Each side is a process of its own
that stays loaded; they make one optimizer step each, in turns. The first step is not counted, except in the row on short
runs, where everything counts from the start of the process on.

Losses are compared with TRL computing in fp32: in bf16 no two programs agree, because a step's update of the adapter is often
smaller than what is rounded away where base and adapter are added. (In fp32 ours equals TRL's within 1e-3:
tests/ml/test_trl_parity.py.) The promise is to be no farther from it than TRL's own bf16.

Peers: TRL at its defaults (bf16 autocast over fp32 weights, gradient checkpointing, padding); the fastest TRL setting that
was found (BEST below); our own loop and output head over the modules of transformers and PEFT as they are, with torch's
attention; and the rate at which these
cores multiply bf16 matrices, measured in the same turns (the ceiling counts the products that LoRA needs, nothing else).
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from bench import ROOT, Claim, options, peak_memory, report, versions
from jobs.ml import base_model
from jobs.ml.config import LoraConfig, RunConfig, TrainConfig
from jobs.ml.data import epoch_order
from jobs.ml.inputs import Inputs
from jobs.ml.plan import lora_parameters
from tests.stack import prepared_models

BEST = {"base": "bfloat16", "gradient_checkpointing": False, "padding_free": True, "max_length": None}


class Side:
    """A child process that makes one step whenever it is told to."""

    def __init__(self, kind: str, folder: Path, **settings: Any) -> None:
        self.log = (folder / f"{kind}-{len(list(folder.glob('*.log')))}.log").open("w+")
        self.child = subprocess.Popen(
            [sys.executable, "-m", "bench._sft_side", kind, str(folder), json.dumps(settings)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip
        self.ready: float = self._answer()["ready"]
        self.steps: list[dict[str, Any]] = []

    def _answer(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"A side of the bench ended early:\n{self.log.read()[-3000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def step(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        self.steps.append(self._answer())

    def measured(self, name: str) -> list[float]:
        """Of each step but the first."""
        return [step[name] for step in self.steps[1:]]

    def end(self) -> int:
        """The most memory it ever had."""
        assert self.child.stdin is not None
        peak = peak_memory(self.child.pid)
        self.child.stdin.close()
        self.child.wait()
        return peak


def conversations(count: int) -> list[dict[str, Any]]:
    """Seeded pieces of Python's language reference, 30 to 500 tokens with a long tail, a fifth of them the question."""
    draw, text = random.Random(17), " ".join(topics[name] for name in sorted(topics)).split()
    found = []
    for _ in range(count):
        words = min(290, max(15, round(draw.lognormvariate(4.55, 0.6))))
        start, cut = draw.randrange(len(text) - words), max(5, words // 5)
        turns = (("user", text[start : start + cut]), ("assistant", text[start + cut : start + words]))
        found.append({"messages": [{"role": role, "content": " ".join(content)} for role, content in turns]})
    return found


def prepare(folder: Path, rows: int, steps: int) -> Inputs:
    base = prepared_models() / "smollm2-135m-instruct"
    (folder / "data").mkdir()
    lines = [json.dumps(row) for row in conversations(rows * steps)]
    (folder / "data" / "train.jsonl").write_text("\n".join(lines))
    config = TrainConfig(
        lora=LoraConfig(r=16, alpha=32), max_steps=steps + 1, batch_size=rows, gradient_accumulation_steps=1,
        learning_rate=2e-4, scheduler="constant", warmup_ratio=0, evals=0, max_length=512,
    )  # fmt: skip
    RunConfig(base.name, str(base), base_model.describe(base)["template_hash"], config).save(folder)
    return Inputs.load(folder)


def work(inputs: Inputs, rows: list[int]) -> tuple[int, float]:
    """Tokens of a step, and the floating point operations that its matrix products need.

    A frozen weight costs a product forward and one backward, the adapter's a third one for its own gradient; the output
    head counts for tokens that carry loss, attention for the half of each square that is not masked.
    """
    shape = json.loads((Path(inputs.config.base_model_dir) / "config.json").read_text())
    hidden, layers = shape["hidden_size"], shape["num_hidden_layers"]
    head = shape["vocab_size"] * hidden
    heads = shape["num_attention_heads"] * shape["head_dim"]
    frozen, adapter = inputs.parameters - head, lora_parameters(inputs.config.train_config, shape)
    total, tokens = 0.0, 0
    for row in rows:
        example = inputs.train.examples[row]
        length = len(example.ids)
        tokens += length
        total += length * (4 * frozen + 6 * adapter) + example.targets * 4 * head
        total += layers * 6 * 2 * heads * length * length / 2
    return tokens, total


def main() -> None:
    given = options(__doc__, steps=3, rows=8, threads=2)
    total, threads = given.steps + 1, given.threads
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        inputs = prepare(folder, given.rows, total)
        order = epoch_order(len(inputs.lengths), inputs.config.train_config.seed, 0)
        steps = [work(inputs, order[at * given.rows : (at + 1) * given.rows]) for at in range(total)]
        plain = Side("ours", folder, threads=threads, fused=False)
        ours = Side("ours", folder, threads=threads, fused=True)
        best = Side("trl", folder, threads=threads, **BEST)
        default = Side("trl", folder, threads=threads)
        gemm = Side("gemm", folder, threads=threads)
        exact = Side("trl", folder, threads=threads, bf16=False, gradient_checkpointing=False)
        for turn in range(total):
            for side in (ours, plain, gemm, best, default, exact)[:: 1 if turn % 2 == 0 else -1]:
                side.step()
        sides = {"ours": ours, "plain": plain, "best": best, "default": default, "gemm": gemm, "exact": exact}
        memory = {name: side.end() / 2**20 for name, side in sides.items()}
    tokens, flops = [step[0] for step in steps[1:]], [step[1] for step in steps[1:]]

    def speeds(side: Side) -> list[float]:
        return [count / seconds for count, seconds in zip(tokens, side.measured("seconds"), strict=True)]

    def so_far(side: Side) -> list[float]:
        """Seconds from the start of the process to the end of the first step, the second, ..."""
        return [side.ready + sum(step["seconds"] for step in side.steps[: at + 1]) for at in range(total)]

    worst = max(zip(so_far(ours), so_far(plain), strict=True), key=lambda pair: pair[0] / pair[1])
    ceiling = [rate * count / need for rate, count, need in zip(gemm.measured("flops"), tokens, flops, strict=True)]

    def farthest(side: Side) -> float:
        """The largest difference of a step's loss from TRL's own in fp32."""
        return max(abs(step["loss"] - peer["loss"]) for step, peer in zip(side.steps, exact.steps, strict=True))

    losses = {name: farthest(side) for name, side in sides.items() if name != "gemm"}
    claims = [
        Claim("LoRA SFT against TRL's defaults", "tokens/s", speeds(ours), "TRL's defaults", speeds(default), at_least=6),
        Claim("against the fastest TRL setting", "tokens/s", speeds(ours), "TRL, fastest", speeds(best), at_least=2),
        Claim("against the matrix product ceiling", "tokens/s", speeds(ours), "ceiling", ceiling, at_least=0.55),
        Claim("time of a run from its start on, at the least favourable of these lengths", "s", [worst[0]], "plain eager loop", [worst[1]], at_most=1),
        Claim("speed against the plain eager loop", "tokens/s", speeds(ours), "plain eager loop", speeds(plain)),
        Claim("peak memory", "MiB", [memory["ours"]], "TRL, fastest", [memory["best"]], at_most=0.6),
        Claim("largest difference of a step's loss from TRL in fp32", "nats", [losses["ours"]], "TRL's defaults", [losses["default"]], at_most=1),
    ]  # fmt: skip
    facts: dict[str, Any] = {
        "versions": versions("torch", "transformers", "peft", "trl"),
        "best": BEST,
        "tokens": tokens,
        "memory_mib": memory,
        "loss_differences": losses,
        "gemm_gflops": [rate / 1e9 for rate in gemm.measured("flops")],
        "steps": {name: side.steps for name, side in sides.items()},
        "ready": {name: side.ready for name, side in sides.items()},
    }
    report(claims, facts, given.out)


if __name__ == "__main__":
    main()
