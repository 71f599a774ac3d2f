"""How well the model does in mid-run: its loss on rows it is not trained on, and its answers to the probes.

Both are pure functions of the weights and draw nothing from the random generators, so they leave no trace in a run.
"""

from __future__ import annotations

import torch

from jobs.ml import passes
from jobs.ml.inputs import Inputs
from jobs.ml.lanes import Lanes
from jobs.ml.model import Model
from jobs.ml.parallel import Group
from jobs.ml.stop import Stop


def validation_loss(model: Model, inputs: Inputs, lanes: Lanes, group: Group, stop: Stop) -> float | None:
    """Mean loss over every validation token that carries it. None without validation rows, or when asked to pause."""
    examples = inputs.validation.examples
    if not examples:
        return None

    def one_pass(batch: list[int]) -> float | None:
        if stop.pause and group.size == 1:
            return None
        with torch.no_grad():  # a lane has its own word on gradients
            return model.loss([examples[row] for row in batch]).item()

    loss, lengths = 0.0, [len(example.ids) for example in examples]
    accelerator = model.device.type != "cpu"
    batches = passes.group(range(len(examples)), lengths, inputs.config.train_config, accelerator=accelerator)
    with model.evaluating():
        for found in lanes.map(one_pass, group.share(batches)):
            if found is None:
                return None
            loss += found
    return group.total(loss, model.device) / sum(example.targets for example in examples)


def answers(model: Model, inputs: Inputs, stop: Stop) -> list[str]:
    """Greedy answers to the run's probes, cut short when asked to pause."""
    if not inputs.config.probes or stop.pause:
        return []
    answered = model.answer(
        [inputs.template.prompt_ids(list(probe)) for probe in inputs.config.probes],
        eos_id=inputs.template.eos_id,
        max_tokens=inputs.config.train_config.probe_tokens,
        stop=lambda: stop.pause,
    )
    return [inputs.template.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in answered]
