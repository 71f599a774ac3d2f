"""A run directory, read and checked: configuration, encoded rows, and what pins them to one base model.

Torch-free, and everything that can refuse a run without loading the model refuses it here.
It does not know how training works.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from jobs.ml import base_model, data
from jobs.ml.config import RunConfig
from jobs.ml.failures import Refused
from jobs.ml.schedule import evaluation_steps
from jobs.ml.template import ChatTemplate


@dataclass(frozen=True)
class Inputs:
    """`facts` say what a checkpoint of this run belongs to: the digests of base, template, data and configuration."""

    config: RunConfig
    template: ChatTemplate
    train: data.Dataset
    validation: data.Dataset
    parameters: int
    facts: dict[str, str]

    @classmethod
    def load(cls, run_dir: Path) -> Self:
        config = RunConfig.load(run_dir)
        base_dir = Path(config.base_model_dir)
        described = base_model.check(base_dir)
        template = ChatTemplate(base_dir)
        if config.template_hash and template.hash != config.template_hash:
            raise Refused(
                "The base model's chat template or tokenizer is not the one this run was planned with. "
                "Plan the run again."
            )
        train_config, limit = config.train_config, described["context_length"]
        if train_config.max_length > limit:
            raise Refused(f"The maximum length must be at most {limit}, which is all this model reads.")
        files = [run_dir / config.train, run_dir / config.validation]
        train, validation = (data.encode_rows(data.read_rows(path), template, train_config) for path in files)
        if not train.examples:
            raise data.BadData(
                f"None of the {train.skipped} training rows has a token to learn from. Rows need an assistant answer "
                f"that begins within the maximum length of {train_config.max_length} tokens."
            )
        facts = {
            "base_sha256": described["sha256"],
            "template_hash": template.hash,
            "data_sha256": data.sha256_of_files(*files),
            "config_sha256": hashlib.sha256(json.dumps(train_config.to_dict(), sort_keys=True).encode()).hexdigest(),
        }
        return cls(config, template, train, validation, described["parameters"], facts)

    @property
    def lengths(self) -> list[int]:
        return [len(example.ids) for example in self.train.examples]

    @property
    def steps_per_epoch(self) -> int:
        return data.steps_per_epoch(len(self.train.examples), self.config.train_config)

    @property
    def total_steps(self) -> int:
        return data.total_steps(len(self.train.examples), self.config.train_config)

    @property
    def evaluate_at(self) -> set[int]:
        return evaluation_steps(self.total_steps, self.config.train_config)
