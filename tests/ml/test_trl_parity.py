"""TRL is the oracle: with the same rows, order and first weights, every step has TRL's loss and gradient."""

import os

import pytest
import torch

from jobs.ml import data
from jobs.ml.config import RunConfig
from tests.ml.conftest import ROWS
from tests.ml.test_trainer import train

os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1")
LORA = {"r": 4, "alpha": 32}


@pytest.mark.parametrize("scheduler", ["cosine", "linear", "constant"])
def test_every_step_has_the_loss_and_gradient_norm_that_trl_computes(make_run, toy_base, monkeypatch, scheduler):
    monkeypatch.setattr("jobs.ml.model.pick_dtype", lambda device: torch.float32)
    options = {"epochs": 1, "evals": 0, "warmup_ratio": 0, "scheduler": scheduler, "lora": LORA}
    run_dir = make_run(ROWS, [], **options)

    ours = train(run_dir).of("step")
    theirs = trl_steps(RunConfig.load(run_dir), toy_base)

    assert len(ours) == len(theirs) == 5
    for our, their in zip(ours, theirs, strict=True):
        assert our["loss"] == pytest.approx(their["loss"], abs=1e-3)
        assert our["grad_norm"] == pytest.approx(their["grad_norm"], rel=1e-2)
        assert our["learning_rate"] == pytest.approx(their["learning_rate"], rel=1e-6)


def trl_steps(run_config, base_dir):
    import datasets
    import peft
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from jobs.ml.config import LoraConfig
    from jobs.ml.model import Model
    from jobs.ml.template import ChatTemplate

    config = run_config.train_config
    examples = data.encode_rows([row["messages"] for row in ROWS], ChatTemplate(base_dir), config).examples
    order = data.epoch_order(len(examples), config.seed, 0)
    rows = [{"input_ids": examples[i].ids, "completion_mask": [int(m) for m in examples[i].mask]} for i in order]
    start = Model(base_dir, LoraConfig(**LORA), seed=config.seed, device=torch.device("cpu"), dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32)
    model = peft.get_peft_model(base, start.config)
    peft.set_peft_model_state_dict(model, dict(start.masters))
    steps = []

    class Recorder(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            if "loss" in logs:
                steps.append(logs)

    class InOrder(SFTTrainer):
        def _get_train_sampler(self, *args, **kwargs):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    arguments = SFTConfig(
        output_dir=str(base_dir.parent / "trl"),
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        num_train_epochs=1,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.scheduler,
        warmup_steps=0,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        max_length=None,
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        logging_steps=1,
        logging_first_step=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=config.seed,
    )
    tokenizer = AutoTokenizer.from_pretrained(base_dir)
    dataset = datasets.Dataset.from_list(rows)
    InOrder(model, args=arguments, train_dataset=dataset, processing_class=tokenizer, callbacks=[Recorder()]).train()
    return steps
