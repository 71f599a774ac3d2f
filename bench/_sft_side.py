"""One side of bench/sft.py, in a process of its own, so that its threads and peak memory are nobody else's.

    python -m bench._sft_side SIDE FOLDER SETTINGS_JSON

It loads, says "ready", and then makes one optimizer step for each line on its standard input, answering with the seconds,
the loss and the gradient norm of that step. The first weights of the adapter are the same for all sides.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # the sides that wait must leave the cores alone
BEGAN = time.monotonic()


class Pace:
    """Waits for the word before each step, and answers after it."""

    def __init__(self) -> None:
        self.answers = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)  # whatever else is printed goes to the log
        self.began = 0.0

    def say(self, **values: Any) -> None:
        self.answers.write(json.dumps(values) + "\n")

    def wait(self) -> None:
        if not sys.stdin.readline():
            os._exit(0)
        self.began = time.monotonic()

    def done(self, **values: Any) -> None:
        self.say(seconds=time.monotonic() - self.began, **values)


def ours(folder: Path, settings: dict[str, Any]) -> None:
    from jobs.ml.__main__ import good_neighbour

    good_neighbour(settings["threads"])
    from jobs.ml import trainer
    from jobs.ml.stop import Stop

    pace = Pace()

    def emit(kind: str, **values: Any) -> None:
        if kind == "start":
            pace.say(ready=time.monotonic() - BEGAN)
        if kind == "step":
            pace.done(loss=values["loss"], grad_norm=values["grad_norm"])
        if kind in ("start", "step"):
            pace.wait()

    trainer.Run(folder, 1, emit, Stop(), threads=settings["threads"], fused=settings["fused"]).train()


def trl(folder: Path, settings: dict[str, Any]) -> None:
    """`settings` may hold "base" (a dtype, or none for fp32) and any argument of SFTConfig."""
    import torch

    torch.set_num_threads(settings.pop("threads"))
    import datasets
    import peft
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from jobs.ml import data
    from jobs.ml.inputs import Inputs
    from jobs.ml.model import Model

    pace = Pace()
    inputs = Inputs.load(folder)
    config, base_dir = inputs.config.train_config, inputs.config.base_model_dir
    start = Model(Path(base_dir), config.lora, seed=config.seed, device=torch.device("cpu"))
    dtype = getattr(torch, settings.pop("base", "float32"))
    network = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base_dir, dtype=dtype), start.config)
    peft.set_peft_model_state_dict(network, dict(start.masters))
    del start
    order = data.epoch_order(len(inputs.lengths), config.seed, 0)
    examples = [inputs.train.examples[row] for row in order]
    rows = [{"input_ids": row.ids, "completion_mask": [int(carries) for carries in row.mask]} for row in examples]

    class Paced(TrainerCallback):  # type: ignore[misc]
        ready = False

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            if not self.ready:
                pace.say(ready=time.monotonic() - BEGAN)
                self.ready = True
            pace.wait()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in logs:
                pace.done(loss=logs["loss"], grad_norm=logs["grad_norm"], tokens=logs.get("num_tokens"))

    class InOrder(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    arguments = SFTConfig(
        **{
            "per_device_train_batch_size": config.batch_size * config.gradient_accumulation_steps,
            "output_dir": str(folder / "trl"),
            "learning_rate": config.learning_rate,
            "lr_scheduler_type": config.scheduler,
            "completion_only_loss": True,
            "use_cpu": True,
            "max_steps": config.max_steps,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            **settings,
        }
    )
    tokenizer = AutoTokenizer.from_pretrained(base_dir)
    dataset = datasets.Dataset.from_list(rows)
    InOrder(network, args=arguments, train_dataset=dataset, processing_class=tokenizer, callbacks=[Paced()]).train()


def gemm(folder: Path, settings: dict[str, Any]) -> None:
    """The ceiling: the best rate in FLOP/s at which these threads multiply bf16 matrices, of several shapes."""
    import torch

    torch.set_num_threads(settings["threads"])
    pace = Pace()
    shapes = [(512, 576, 1536), (1024, 1536, 576), (1024, 2048, 2048), (2048, 2048, 2048)]
    pairs = [(torch.randn(t, i).bfloat16(), torch.randn(o, i).bfloat16()) for t, i, o in shapes]
    pace.say(ready=time.monotonic() - BEGAN)
    while True:
        pace.wait()
        best = 0.0
        for (t, i, o), (left, right) in zip(shapes, pairs, strict=True):
            for _ in range(3):  # the best of several stretches: what the cores can do, not what was left of them
                count, began = 0, time.perf_counter()
                while (spent := time.perf_counter() - began) < 0.12:
                    left @ right.T
                    count += 1
                best = max(best, count * 2 * t * i * o / spent)
        pace.done(flops=best)


if __name__ == "__main__":
    side, folder, settings = sys.argv[1:]
    {"ours": ours, "trl": trl, "gemm": gemm}[side](Path(folder), json.loads(settings))
