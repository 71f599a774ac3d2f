"""From OpenAI's hyperparameters and our `lora` object to a TrainConfig, and back.

OpenAI's `batch_size` is what one step learns from; ours is what fits through the model at once, times the accumulation.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import BeforeValidator, ConfigDict, Field

from jobs.ml.config import ConfigError, LoraConfig, TrainConfig, default_learning_rate
from jobs.models import LanguageModel
from llmstudio.openai_errors import Refused

ROWS_AT_ONCE = 4
Auto = BeforeValidator(lambda value: None if value == "auto" else value)
SHAPE = tuple(field.name for field in dataclasses.fields(LoraConfig))


class Hyperparameters(Schema):
    n_epochs: Annotated[Annotated[float, Field(gt=0, le=20)] | None, Auto] = None
    batch_size: Annotated[Annotated[int, Field(ge=1, le=256)] | None, Auto] = None
    learning_rate_multiplier: Annotated[Annotated[float, Field(gt=0, le=1000)] | None, Auto] = None


class LoraOptions(Schema):
    """The form's names. What is left out keeps the form's default; a name that is not here is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")

    r: int | None = None
    alpha: int | None = None
    dropout: float | None = None
    target_modules: Annotated[
        Literal["all", "attention"] | None, BeforeValidator(lambda name: "all" if name == "all-linear" else name)
    ] = None
    learning_rate: float | None = None
    max_length: int | None = None
    batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    epochs: float | None = None
    max_steps: int | None = None
    scheduler: Literal["cosine", "linear", "constant"] | None = None
    warmup_ratio: float | None = None
    weight_decay: float | None = None
    max_grad_norm: float | None = None
    loss_on: Literal["assistant", "last", "all"] | None = None
    overlong: Literal["truncate", "drop"] | None = None
    evals: int | None = None
    early_stop_patience: int | None = None
    probe_tokens: int | None = None
    gradient_checkpointing: bool | None = None


def train_config(base: LanguageModel, hyper: Hyperparameters, lora: LoraOptions, seed: int | None) -> TrainConfig:
    """The complete configuration. Raises Refused, naming the parameter, for what is out of range or said twice."""
    ours = {name: value for name, value in lora.model_dump().items() if value is not None}
    theirs = {name: value for name, value in hyper.model_dump().items() if value is not None}
    for name, twins in {
        "n_epochs": ("epochs",),
        "batch_size": ("batch_size", "gradient_accumulation_steps"),
        "learning_rate_multiplier": ("learning_rate",),
    }.items():
        for twin in twins:
            if name in theirs and twin in ours:
                raise Refused(
                    400, f"Give either {name} or lora.{twin}, not both.", param=f"lora.{twin}", code="invalid_value"
                )
    default_rate = default_learning_rate(base.parameters)
    values: dict[str, Any] = {
        "learning_rate": default_rate,
        "max_length": min(TrainConfig.max_length, base.context_length),
    }
    if "n_epochs" in theirs:
        values["epochs"] = theirs["n_epochs"]
    if "learning_rate_multiplier" in theirs:
        values["learning_rate"] = default_rate * theirs["learning_rate_multiplier"]
    if "batch_size" in theirs:
        rows = max(size for size in range(1, ROWS_AT_ONCE + 1) if theirs["batch_size"] % size == 0)
        values |= {"batch_size": rows, "gradient_accumulation_steps": theirs["batch_size"] // rows}
    values |= {name: value for name, value in ours.items() if name not in SHAPE}
    if seed is not None:
        values["seed"] = seed
    if values["max_length"] > base.context_length:
        raise Refused(
            400,
            f"{base.name} reads at most {base.context_length} tokens.",
            param="lora.max_length",
            code="invalid_value",
        )
    try:
        return TrainConfig.from_dict({**values, "lora": {name: ours[name] for name in SHAPE if name in ours}})
    except ConfigError as error:
        raise Refused(400, str(error), param=_origin(error.field, theirs), code="invalid_value") from None


def _origin(name: str, theirs: dict[str, Any]) -> str:
    """The parameter of the request that a configuration's field came from."""
    source = {
        "epochs": "n_epochs",
        "learning_rate": "learning_rate_multiplier",
        "batch_size": "batch_size",
        "gradient_accumulation_steps": "batch_size",
    }.get(name, "")
    if source in theirs:
        return f"hyperparameters.{source}"
    return name if name == "seed" else f"lora.{name}"


def show_hyperparameters(base: LanguageModel, config: TrainConfig) -> dict[str, Any]:
    epochs = int(config.epochs) if config.epochs == int(config.epochs) else config.epochs
    return {
        "n_epochs": epochs,
        "batch_size": config.batch_size * config.gradient_accumulation_steps,
        "learning_rate_multiplier": round(config.learning_rate / default_learning_rate(base.parameters), 6),
    }


def show_lora(config: TrainConfig) -> dict[str, Any]:
    """Our options with the values the run really has."""
    values = {**config.to_dict(), **dataclasses.asdict(config.lora)}
    return {name: values[name] for name in LoraOptions.model_fields}
