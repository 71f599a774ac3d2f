"""The panel beside a chat: who answers, the system prompt, and how a reply is drawn. Each field says what it does."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from jobs.models import Adapter, LanguageModel
from jobs.numbers import parse_number
from workspace.chats import MAX_SYSTEM
from workspace.models import Chat, Team, User


class PastedNumber(forms.FloatField):
    """A number as people paste it: 2e-4, 0,7 or 1,000. The help ends with its limits and its usual value."""

    def __init__(
        self, label: str, help_text: str, low: float, high: float, usual: float | None, *, whole: bool = False
    ) -> None:
        self.whole = whole
        shown = "random" if usual is None else f"{usual:g}"
        super().__init__(
            label=label,
            min_value=low,
            max_value=high,
            required=False,
            widget=forms.TextInput(attrs={"inputmode": "decimal", "placeholder": shown}),
            help_text=f"{help_text} {low:g} to {high:,.0f}, usually {shown}.",
        )

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        try:
            number = parse_number(str(value))
        except ValueError as error:
            raise ValidationError("Write a number, like 0.7 or 2e-4.") from error
        if self.whole and not number.is_integer():
            raise ValidationError("This takes a whole number.")
        return int(number) if self.whole else number


class ChatSettings(forms.Form):
    """Bound to one chat; `changes` is what `Chat.change` takes."""

    answers = forms.ChoiceField(label="Answers come from")
    system = forms.CharField(
        label="System prompt",
        required=False,
        max_length=MAX_SYSTEM,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "You are a helpful assistant…"}),
        help_text="Said to the model before the conversation. Counts for every answer from now on.",
    )
    max_tokens = PastedNumber("Longest answer", "In tokens; a token is about ¾ of a word.", 1, 8192, 512, whole=True)
    temperature = PastedNumber("Temperature", "0 always says the likeliest; higher is more varied.", 0, 2, 0.7)
    top_p = PastedNumber("Top p", "Keeps only the likeliest words that together make up this share.", 0, 1, 0.95)
    top_k = PastedNumber("Top k", "Keeps only this many words to choose from; 0 keeps all.", 0, 1000, 0, whole=True)
    repetition_penalty = PastedNumber("Repetition penalty", "Above 1 makes repeating itself less likely.", 0.5, 2, 1)
    seed = PastedNumber(
        "Seed", "The same seed and the same question give the same answer.", 0, 2**32 - 1, None, whole=True
    )
    stop = forms.CharField(
        label="Stop at",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="The answer ends before any of these. One a line, at most 4.",
    )

    PARAMS = ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed")

    def __init__(self, chat: Chat, data: Any = None) -> None:
        params = chat.params
        initial = {
            "answers": answers_key(chat.model, chat.adapter),
            "system": chat.system,
            "stop": "\n".join(params.get("stop", ())),
            **{name: params.get(name) for name in self.PARAMS},
        }
        super().__init__(data, initial=initial, prefix=chat.pk.hex[:6], label_suffix="")
        self.who = Answerers(chat.team)
        choices = self.who.choices()
        if not self.who.has(initial["answers"]):
            choices.insert(0, (initial["answers"], f"{chat.answers} (no longer available)"))
        self.fields["answers"].choices = choices  # type: ignore[attr-defined]

    def clean_stop(self) -> list[str]:
        stops = [line for line in self.cleaned_data["stop"].splitlines() if line]
        if len(stops) > 4 or any(len(line) > 200 for line in stops):
            raise ValidationError("At most 4 lines of at most 200 characters.")
        return stops

    @property
    def parameters(self) -> list[forms.BoundField]:
        return [self[name] for name in (*self.PARAMS, "stop")]

    def changes(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        params = {name: cleaned[name] for name in self.PARAMS if cleaned[name] is not None}
        if cleaned["stop"]:
            params["stop"] = cleaned["stop"]
        model, adapter = self.who.pick(cleaned["answers"])
        return {"model": model, "adapter": adapter, "system": cleaned["system"], "params": params}


def params_from(config: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in a prompt's config that a chat can have; what it could not show in its panel is left out."""
    params: dict[str, Any] = {}
    for name in ChatSettings.PARAMS:
        with contextlib.suppress(ValidationError):
            value = ChatSettings.base_fields[name].clean(config.get(name))
            if value is not None:
                params[name] = value
    stops = config.get("stop")
    if isinstance(stops, list) and 0 < len(stops) <= 4 and all(isinstance(s, str) and 0 < len(s) <= 200 for s in stops):
        params["stop"] = stops
    return params


def answers_key(model: LanguageModel, adapter: Adapter | None) -> str:
    return f"adapter:{adapter.pk}" if adapter else f"model:{model.pk}"


class Answerers:
    """Everything that can answer in a team: its base models, and the adapters trained on them."""

    def __init__(self, team: Team) -> None:
        self.team = team
        models = {model.pk: model for model in LanguageModel.objects.for_team(team)}
        self.models = {answers_key(model, None): model for model in models.values()}
        self.adapters = {}
        for adapter in Adapter.objects.for_team(team).select_related(None).filter(base__in=models):
            adapter.team, adapter.base = team, models[adapter.base_id]
            self.adapters[answers_key(adapter.base, adapter)] = adapter

    def has(self, key: str) -> bool:
        return key in self.models or key in self.adapters

    def choices(self) -> list[Any]:
        groups: list[Any] = [("Models", [(key, str(model)) for key, model in self.models.items()])]
        if self.adapters:
            groups.append(
                (
                    "Fine-tuned adapters",
                    [(key, f"{adapter} ({adapter.base})") for key, adapter in self.adapters.items()],
                )
            )
        return groups

    def usual(self, user: User, *, wanted: Any = None) -> tuple[LanguageModel, Adapter | None]:
        """Who answers in a new chat or grid: the one `wanted` by its id on /v1/models, else whoever answered this person last.
        Raises KeyError where nothing can answer."""
        names = {model.key: key for key, model in self.models.items()}
        names |= {adapter.key: key for key, adapter in self.adapters.items()}
        if found := names.get(str(wanted)):
            return self.pick(found)
        last = Chat.objects.filter(team=self.team, author=user).select_related("model", "adapter").first()
        if last and self.has(key := answers_key(last.model, last.adapter)):
            return self.pick(key)
        return self.pick(next(iter(self.models)) if self.models else "")

    def pick(self, key: str) -> tuple[LanguageModel, Adapter | None]:
        """Raises KeyError for one that is not there."""
        if adapter := self.adapters.get(key):
            return adapter.base, adapter
        return self.models[key], None
