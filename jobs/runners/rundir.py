"""A fine-tune's run directory, from its row: configuration, sealed rows, and where to go on from."""

from __future__ import annotations

import hashlib

from jobs.datasets import write_rows
from jobs.ml.base_model import ModelMissing, describe
from jobs.ml.config import ConfigError, RunConfig, TrainConfig
from jobs.models import Cause, Checkpoint, FineTune, Split
from jobs.runners.artefacts import manifest_is


class Refused(Exception):
    """The run cannot start; the message says why, and what to do."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def write(finetune: FineTune) -> None:
    """Write configuration and data. The same row always writes the same bytes, so a later attempt changes nothing."""
    base, dataset, folder = finetune.base, finetune.dataset, finetune.run_dir
    if dataset is None:
        raise Refused(Cause.BAD_DATA, "The data set of this run has been removed. Choose another one and start again.")
    try:
        template_hash = finetune.template_hash or describe(base.path)["template_hash"]
        train_config = TrainConfig.from_dict(finetune.config)
    except ModelMissing as error:
        message = f"The files of {base.name} are missing on the training worker, or not whole. "
        raise Refused(Cause.MODEL_MISSING, f"{message}Restart the studio, which prepares its own model.") from error
    except ConfigError as error:
        raise Refused(Cause.BAD_DATA, f"{error} Start the run again with another value.") from error
    splits = list(Split) if finetune.validation_dataset else [Split.VALIDATION]
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        hashes = [
            write_rows(dataset, [Split.TRAIN], folder / "data" / "train.jsonl"),
            write_rows(finetune.validation_dataset or dataset, splits, folder / "data" / "validation.jsonl"),
        ]
        RunConfig(
            base_model=base.key,
            base_model_dir=str(base.path),
            template_hash=template_hash,
            train_config=train_config,
            data_sha256=hashlib.sha256("".join(hashes).encode()).hexdigest(),
            probes=tuple(probes(finetune)),
        ).save(folder)
    except OSError as error:
        message = f"The run's folder could not be written ({error.strerror}). Free some space under the data folder, "
        raise Refused(Cause.DISK, f"{message}then start the run again.") from error


def probes(finetune: FineTune) -> list[list[dict[str, str]]]:
    """The prompts whose answers are watched, without the answers."""
    return [row.messages[:-1] for row in finetune.probe_rows()]


def newest_checkpoint(finetune: FineTune) -> Checkpoint | None:
    """The furthest checkpoint that a row knows and whose manifest is the one that was written."""
    for checkpoint in finetune.checkpoints.order_by("-step", "-fence"):
        if manifest_is(finetune.run_dir / checkpoint.folder, checkpoint.sha256):
            return checkpoint
    return None
