"""What a run and a reply may be asked to do: small frozen dataclasses that check themselves.

Standard library only, so forms, the API and the web process may read the limits without importing torch.
It does not know where a configuration comes from or who may use it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

MAX_LEARNING_RATE = 1.0
MAX_RANK = 256
MAX_SCHEMA = 20_000  # characters of JSON
MAX_SCHEMA_DEPTH = 32
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # in JSON; an escaped backslash before the u is another thing

# "all" is every linear layer of a decoder block; attention alone loses even at matched parameters
# ("LoRA Without Regret", Thinking Machines 2025).
TARGETS: dict[str, tuple[str, ...]] = {
    "all": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
}


class ConfigError(ValueError):
    """A value outside its limits; `field` names it, so a form or an API can point at it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def check(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not low <= value <= high or not math.isfinite(value):
        raise ConfigError(name, f"{name} must be between {low:g} and {high:g}, not {value!r}.")


def json_kept(value: Any) -> str:
    """The value as JSON that a database can keep; ValueError, whose text says what it holds that cannot be kept."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise ValueError("something that JSON cannot carry, such as NaN or half a character") from None
    if NUL.search(text):
        raise ValueError("the character U+0000, which cannot be kept")
    return text


def check_schema_size(schema: Any) -> None:
    """Is `schema` an object that JSON can carry, of a size to work with? What it says is not looked at
    (jobs/structured.py does that)."""
    if not isinstance(schema, dict):
        raise ConfigError("json_schema", "json_schema must be a JSON object.")
    level: list[Any] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in level if isinstance(inner, dict | list)]
        if len(level) > MAX_SCHEMA:  # each takes two characters and more; a shared branch could be doubled for ever
            break
    if level:
        raise ConfigError("json_schema", f"json_schema is nested deeper than {MAX_SCHEMA_DEPTH} levels, or too large.")
    try:
        text = json_kept(schema)
    except ValueError as error:
        raise ConfigError("json_schema", f"json_schema holds {error}.") from None
    if len(text) > MAX_SCHEMA:
        raise ConfigError("json_schema", f"json_schema may have at most {MAX_SCHEMA:,} characters of JSON.")


def refuse_unknown(cls: Any, values: dict[str, Any], what: str) -> None:
    known = {field.name for field in dataclasses.fields(cls)}
    for name in values:
        if name not in known:
            raise ConfigError(name, f"{name} is not {what}.")


def default_learning_rate(parameters: int) -> float:
    """The learning rate to offer for a base of this size.

    Small bases want more: on the demo task the 135M base reached chrF 46 at 1e-3 against 33 at 2e-4; at 7B the
    field's figure is 2e-4. Between them the rate falls linearly in log(parameters), rounded to one digit.
    """
    small, large = math.log10(135e6), math.log10(7e9)
    share = min(1.0, max(0.0, (math.log10(max(parameters, 1)) - small) / (large - small)))
    rate = 10 ** (math.log10(1e-3) + share * (math.log10(2e-4) - math.log10(1e-3)))
    return float(f"{rate:.0e}")


@dataclass(frozen=True)
class SamplingParams:
    """How one reply is drawn. `temperature` 0 is greedy. Lengths are in tokens, stop strings in characters."""

    max_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = field(default=None, hash=False)  # the answer is to be JSON by it

    def __post_init__(self) -> None:
        check("max_tokens", self.max_tokens, 1, 32_768)
        check("temperature", self.temperature, 0, 2)
        check("top_p", self.top_p, 0, 1)
        check("top_k", self.top_k, 0, 1000)
        check("repetition_penalty", self.repetition_penalty, 0.5, 2)
        check("presence_penalty", self.presence_penalty, -2, 2)
        check("frequency_penalty", self.frequency_penalty, -2, 2)
        if self.seed is not None:
            check("seed", self.seed, 0, 2**32 - 1)
        if len(self.stop) > 4 or any(not s or len(s) > 200 for s in self.stop):
            raise ConfigError("stop", "stop takes at most 4 strings of 1 to 200 characters.")
        if self.json_schema is not None:
            check_schema_size(self.json_schema)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        refuse_unknown(cls, values, "a sampling parameter")
        return cls(**{**values, "stop": tuple(values.get("stop", ()))})


@dataclass(frozen=True)
class LoraConfig:
    """The adapter's shape. Alpha stays at 32 whatever the rank: with alpha/r scaling the best rate then barely moves."""

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: Literal["all", "attention"] = "all"

    def __post_init__(self) -> None:
        check("r", self.r, 1, MAX_RANK)
        check("alpha", self.alpha, 1, 512)
        check("dropout", self.dropout, 0, 0.3)
        if self.target_modules not in TARGETS:
            raise ConfigError("target_modules", f"target_modules must be one of {', '.join(TARGETS)}.")


@dataclass(frozen=True)
class TrainConfig:
    """One fine-tune, complete: with the sealed data and the base model this is all that decides its weights.

    `batch_size` is rows per forward pass, times `gradient_accumulation_steps` is the effective batch of one step.
    `max_length` is in tokens and includes the prompt; a longer row is cut from the end (`truncate`) or left out (`drop`).
    """

    lora: LoraConfig = field(default_factory=LoraConfig)
    epochs: float = 3.0
    max_steps: int = 0  # 0: as many as the epochs ask for
    learning_rate: float = 1e-3
    max_length: int = 512
    batch_size: int = 4
    gradient_accumulation_steps: int = 4
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = 0.05
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    loss_on: Literal["assistant", "last", "all"] = "assistant"
    overlong: Literal["truncate", "drop"] = "truncate"
    evals: int = 10  # evaluations, spread evenly over the run; each also saves a checkpoint
    early_stop_patience: int = 3  # evaluations without a better loss; 0 never stops early
    probe_tokens: int = 64  # length of each live sample answer
    gradient_checkpointing: bool = False  # a fifth slower, far less memory; the plan turns it on when memory is short
    seed: int = 42

    def __post_init__(self) -> None:
        check("epochs", self.epochs, 0.01, 20)
        check("max_steps", self.max_steps, 0, 1_000_000)
        check("learning_rate", self.learning_rate, 1e-7, MAX_LEARNING_RATE)
        check("max_length", self.max_length, 32, 131_072)
        check("batch_size", self.batch_size, 1, 64)
        check("gradient_accumulation_steps", self.gradient_accumulation_steps, 1, 64)
        check("warmup_ratio", self.warmup_ratio, 0, 0.2)
        check("weight_decay", self.weight_decay, 0, 0.1)
        check("max_grad_norm", self.max_grad_norm, 0, 5)
        check("evals", self.evals, 0, 50)
        check("early_stop_patience", self.early_stop_patience, 0, 50)
        check("probe_tokens", self.probe_tokens, 8, 512)
        check("seed", self.seed, 0, 2**32 - 1)
        for name, allowed in (
            ("scheduler", ("cosine", "linear", "constant")),
            ("loss_on", ("assistant", "last", "all")),
            ("overlong", ("truncate", "drop")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(name, f"{name} must be one of {', '.join(allowed)}.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        refuse_unknown(cls, values, "a training option")
        lora = values.get("lora") or {}
        return cls(**{**values, "lora": lora if isinstance(lora, LoraConfig) else LoraConfig(**lora)})

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class RunConfig:
    """`config.json` of a run directory: everything `python -m jobs.ml train RUN_DIR` needs besides the sealed data.

    `base_model_dir` is a local folder (safetensors, tokenizer.json). `template_hash` is what the plan was made with:
    a base whose template differs is refused. `probes` are conversations whose answers are sampled at each evaluation.
    `train` and `validation` are file names inside the run directory, one `{"messages": [...]}` a line.
    """

    base_model: str
    base_model_dir: str
    template_hash: str
    train_config: TrainConfig
    train: str = "data/train.jsonl"
    validation: str = "data/validation.jsonl"
    data_sha256: str = ""
    probes: tuple[list[dict[str, str]], ...] = ()

    def save(self, run_dir: Path) -> None:
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)
        (run_dir / "config.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, run_dir: Path) -> Self:
        values = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))
        values["train_config"] = TrainConfig.from_dict(values["train_config"])
        values["probes"] = tuple(values["probes"])
        return cls(**values)
