"""The form of a new fine-tune: every option with its default, its reason and its effect. Limits come from jobs.ml.config."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms

from jobs.forms import NumberField
from jobs.ml.config import MAX_RANK, ConfigError, LoraConfig, TrainConfig
from jobs.models import Dataset, FineTune, LanguageModel

HIGH_LEARNING_RATE = 1e-3
DEFAULTS = {**TrainConfig().to_dict(), **LoraConfig().__dict__}
SHAPE = ("r", "alpha", "dropout", "target_modules")


def number(low: float, high: float, label: str, help_text: str, *, whole: bool = False) -> NumberField:
    return NumberField(low=low, high=high, whole=whole, label=label, help_text=help_text, max_length=40)


def choice(label: str, help_text: str, **options: str) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, help_text=help_text, choices=list(options.items()))


class FineTuneForm(forms.Form):
    """`config()` is the complete configuration once the form is valid."""

    VISIBLE = ("epochs", "learning_rate", "r", "max_length")
    ADVANCED = {
        "Batches": ("batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "overlong", "max_steps"),
        "The adapter": ("alpha", "dropout", "target_modules", "loss_on"),
        "The optimiser": ("scheduler", "warmup_ratio", "weight_decay", "max_grad_norm", "seed"),
        "Watching it": ("evals", "early_stop_patience", "probe_tokens"),
    }

    id = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)  # the form sent twice starts one run
    name = forms.CharField(max_length=80, label="Name", help_text="Also the end of its id on /v1/models.")
    base = forms.ModelChoiceField(
        LanguageModel.objects.none(),
        label="Base model",
        help_text="The model that learns; it is not changed, the adapter is kept beside it.",
        empty_label=None,
    )
    dataset = forms.ModelChoiceField(
        Dataset.objects.none(),
        label="Data set",
        help_text="Its training rows are learnt, its validation rows only watched.",
        empty_label="Choose…",
    )

    epochs = number(
        0.01,
        20,
        "Epochs",
        "How often every row is seen. 3 under 1,000 rows, 2 under 10,000, else 1; more makes the model memorise.",
    )
    learning_rate = number(
        1e-7,
        1,
        "Learning rate",
        "How far each step goes. Small models want more: 1e-3 at 135M, 2e-4 at 7B. Too high shows as a loss that jumps.",
    )
    r = number(
        1,
        MAX_RANK,
        "Rank",
        "How much the adapter can hold. 16 is enough for hundreds to some thousands of rows; doubling it doubles the file.",
        whole=True,
    )
    max_length = number(
        32,
        131_072,
        "Maximum length",
        "Tokens of a row, prompt included. Long enough for 99 of 100 rows; time and memory grow with it.",
        whole=True,
    )

    batch_size = number(
        1, 64, "Rows at once", "Rows in one pass. Twice as many need about twice the memory.", whole=True
    )
    gradient_accumulation_steps = number(
        1,
        64,
        "Passes per step",
        "Rows at once times this is the effective batch. LoRA learns badly above 32.",
        whole=True,
    )
    gradient_checkpointing = forms.BooleanField(
        required=False,
        label="Save memory by computing twice",
        help_text="Gradient checkpointing: far less memory, a fifth slower.",
    )
    overlong = choice(
        "Rows that are too long",
        "Cutting loses the end of the answer; leaving out loses the row.",
        truncate="Cut the end off",
        drop="Leave them out",
    )
    max_steps = number(0, 1_000_000, "Stop after steps", "0 lets the epochs decide.", whole=True)
    alpha = number(
        1,
        512,
        "Alpha",
        "Scales the adapter. Kept at 32 whatever the rank, so that the best learning rate stays about the same.",
        whole=True,
    )
    dropout = number(0, 0.3, "Dropout", "0 is fastest. 0.05 can help under 500 rows.")
    target_modules = choice(
        "Layers",
        "All linear layers learn better than attention alone, even at the same size.",
        all="All linear layers",
        attention="Attention only",
    )
    loss_on = choice(
        "Learn from",
        "The tokens that carry loss; the microscope shows them.",
        assistant="Every answer",
        last="The last answer",
        all="Everything, prompts too",
    )
    scheduler = choice(
        "Learning rate over time",
        "It matters little for LoRA.",
        cosine="Cosine, down to zero",
        linear="Linear, down to zero",
        constant="Constant",
    )
    warmup_ratio = number(0, 0.2, "Warm-up", "Share of the steps in which the rate rises: 5 % avoids a bad start.")
    weight_decay = number(0, 0.1, "Weight decay", "0 is usual for so few weights.")
    max_grad_norm = number(0, 5, "Gradient clip", "Caps a single step. 0 turns it off.")
    seed = number(0, 2**32 - 1, "Seed", "The same seed and data give the same run.", whole=True)
    evals = number(
        0,
        50,
        "Evaluations",
        "Spread over the run; each measures the validation loss and saves a checkpoint.",
        whole=True,
    )
    early_stop_patience = number(
        0,
        50,
        "Patience",
        "Evaluations without a better loss before the run stops by itself. 0 never stops it.",
        whole=True,
    )
    probe_tokens = number(
        8, 512, "Sample length", "Tokens of each sample answer that is written at an evaluation.", whole=True
    )
    confirm_rate = forms.BooleanField(required=False, label="I want a learning rate this high")

    def __init__(self, team: Any, data: Any = None, *, initial: dict[str, Any] | None = None) -> None:
        self.rate_is_high = False
        super().__init__(data, initial={**DEFAULTS, **(initial or {})})
        self.fields["base"].queryset = LanguageModel.objects.for_team(team).trainable()  # type: ignore[attr-defined]
        self.fields["dataset"].queryset = Dataset.objects.for_team(team)  # type: ignore[attr-defined]
        for name, field in self.fields.items():
            if field.help_text:
                field.widget.attrs["aria-describedby"] = f"id_{name}_helptext"

    @property
    def visible_part(self) -> list[forms.BoundField]:
        return [self[name] for name in self.VISIBLE]

    @property
    def advanced_part(self) -> list[tuple[str, list[forms.BoundField]]]:
        return [(title, [self[name] for name in names]) for title, names in self.ADVANCED.items()]

    @property
    def changed_advanced(self) -> int:
        """How many advanced options are not at their defaults, so that closed details still say so."""
        names = [name for names in self.ADVANCED.values() for name in names]
        return sum(str(self[name].value() or 0) not in (str(DEFAULTS[name] or 0), *self._shown(name)) for name in names)

    def _shown(self, name: str) -> tuple[str, ...]:
        field = self.fields[name]
        return (str(field.prepare_value(DEFAULTS[name])),) if isinstance(field, NumberField) else ()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.rate_is_high = (cleaned.get("learning_rate") or 0) > HIGH_LEARNING_RATE
        base, length = cleaned.get("base"), cleaned.get("max_length")
        if base and length and length > base.context_length:
            self.add_error("max_length", f"{base} reads at most {base.context_length:,} tokens.")
        if not self.errors:
            try:
                self.config()
            except ConfigError as error:
                self.add_error(error.field if error.field in self.fields else None, str(error))
        return cleaned

    def config(self) -> TrainConfig:
        values = {name: self.cleaned_data[name] for name in DEFAULTS if name in self.fields and name not in SHAPE}
        return TrainConfig(lora=LoraConfig(**{name: self.cleaned_data[name] for name in SHAPE}), **values)


def initial_of(run: FineTune) -> dict[str, Any]:
    """A run's configuration as the form's first values, to start again with changes."""
    config = {**run.config}
    shape = config.pop("lora", {})
    dataset = run.dataset if run.dataset and run.dataset.archived_at is None else None
    return {**config, **shape, "base": run.base, "dataset": dataset, "name": f"{run.name} again"[:80]}
