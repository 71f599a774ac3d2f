"""What people type about a prompt: the settings beside its messages, its name and tags, and what is wrong with either."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import F

from workspace import prompts
from workspace.chat_forms import Answerers, ChatSettings, PastedNumber
from workspace.drafts import NUMBERS, SHOTS, Draft
from workspace.fewshot import HOWS, MAX_SHOTS
from workspace.models import ExampleSetVersion, Prompt, Team
from workspace.prompts import PromptError
from workspace.structured import check_schema

VERSIONS_OFFERED = 10  # of each example set, the newest
MAX_TAGS = 20


@dataclass(frozen=True)
class Problem:
    """Something that keeps a prompt from being saved: which field it is about (empty: the messages) and a sentence."""

    message: str
    field: str = ""
    label: str = ""

    @classmethod
    def of(cls, error: PromptError, draft: Draft) -> Problem:
        name = error.names[0] if error.names else ""
        if name in draft.variable_names and error.code == "bad_value":
            return cls(str(error), f"type:{name}", name)
        return cls(str(error), name if name == "schema" else "")


def problems_in(form: forms.BaseForm) -> list[Problem]:
    found = []
    for name, errors in form.errors.items():
        label = str(form.fields[name].label or name) if name in form.fields else ""
        found += [Problem(str(error), name if label else "", label) for error in errors]
    return found


class EditorForm(forms.Form):
    """Everything in the editor but its messages. Once valid, `content` is what `Prompt.save_version` takes."""

    model = forms.ChoiceField(
        label="Default model",
        required=False,
        help_text="Who answers where nothing else is chosen: the playground, chat and the API begin with it.",
    )
    max_tokens = ChatSettings.base_fields["max_tokens"]
    temperature = ChatSettings.base_fields["temperature"]
    top_p = ChatSettings.base_fields["top_p"]
    top_k = ChatSettings.base_fields["top_k"]
    repetition_penalty = ChatSettings.base_fields["repetition_penalty"]
    seed = ChatSettings.base_fields["seed"]
    stop = ChatSettings.base_fields["stop"]
    extra = forms.CharField(
        label="Other settings",
        required=False,
        widget=forms.Textarea(
            attrs={"rows": 3, "class": "mono", "spellcheck": "false", "placeholder": '{ "team": "support" }'}
        ),
        help_text="A JSON object of your own. It is kept with the version and given out by the API.",
    )
    schema = forms.CharField(
        label="Answer schema",
        required=False,
        widget=forms.Textarea(
            attrs={"rows": 6, "class": "mono", "spellcheck": "false", "placeholder": '{ "type": "object", … }'}
        ),
        help_text="A JSON Schema. The answer must then be JSON that follows it; leave empty for plain text.",
    )
    examples = forms.ChoiceField(
        label="Few-shot set",
        required=False,
        help_text="Question and answer pairs that are shown to the model before the question.",
    )
    shots_how = forms.ChoiceField(label="Which ones", required=False, choices=list(HOWS.items()), initial="fixed")
    shots_count = PastedNumber("At most", "How many examples.", 0, MAX_SHOTS, 3, whole=True)
    shots_seed = PastedNumber("Seed", "For the random draw.", 0, 2**32 - 1, 0, whole=True)
    shots_budget = PastedNumber("Token budget", "For all examples together.", 0, 100_000, 500, whole=True)

    def __init__(self, team: Team, draft: Draft, *, posted: bool) -> None:
        super().__init__(draft.fields if posted else None, initial=draft.fields, label_suffix="")
        self.draft = draft
        self.who = Answerers(team)
        models: Any = self.fields["model"]
        models.choices = model_choices(self.who, draft.fields.get("model", ""))
        sets = example_versions(team, draft.fields.get("examples", ""))
        self.versions = {str(version.pk): version for version in sets}
        examples: Any = self.fields["examples"]
        examples.choices = [
            ("", "None"),
            *((key, f"{one.set.name}, version {one.number} ({len(one.order)})") for key, one in self.versions.items()),
        ]

    clean_stop = ChatSettings.clean_stop

    def clean_extra(self) -> dict[str, Any]:
        extra = read_json(self.cleaned_data["extra"])
        if own := [name for name in extra if name in (*NUMBERS, "stop", "model")]:
            raise ValidationError(f"{', '.join(own)} has a field of its own above.")
        return extra

    def clean_schema(self) -> dict[str, Any] | None:
        try:
            schema = read_json(self.cleaned_data["schema"])
            return check_schema(schema) if schema else None
        except PromptError as error:
            raise ValidationError(str(error)) from None

    @property
    def content(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        config = {"model": cleaned["model"], **{name: cleaned[name] for name in NUMBERS}, "stop": cleaned["stop"]}
        shots = {name: cleaned[f"shots_{name}"] for name in SHOTS}
        return {
            "messages": self.draft.messages(),
            "variables": self.draft.specs(),
            "config": {
                **{key: value for key, value in config.items() if value not in ("", None, [])},
                **cleaned["extra"],
            },
            "schema": cleaned["schema"],
            "examples": self.versions.get(cleaned["examples"]),
            "shots": {name: value for name, value in shots.items() if value not in ("", None)},
        }

    @property
    def parameters(self) -> list[forms.BoundField]:
        return [self[name] for name in (*NUMBERS, "stop", "extra")]

    @property
    def parameters_set(self) -> int:
        return sum(bool(self.draft.fields.get(name)) for name in (*NUMBERS, "stop", "extra"))

    @property
    def shots(self) -> list[forms.BoundField]:
        return [self[f"shots_{name}"] for name in SHOTS]


class DetailsForm(forms.ModelForm):  # type: ignore[type-arg]
    """Where a prompt is found. Renaming it moves it when the part before the last slash changes."""

    tags = forms.CharField(required=False, help_text="Separated by commas.")

    class Meta:
        model = Prompt
        fields = ["name", "description"]
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "description": forms.Textarea(attrs={"rows": 2}),
        }
        help_texts = {"name": "A slash makes a folder: support/refund. Programs fetch the prompt by this name."}

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, label_suffix="", **options)
        if self.instance.tags:
            self.initial["tags"] = ", ".join(self.instance.tags)

    def clean_name(self) -> str:
        try:
            name = prompts.checked_name(prompts.tidy_name(self.cleaned_data["name"]))
        except PromptError as error:
            raise ValidationError(str(error)) from None
        others = Prompt.objects.for_team(self.instance.team).filter(name=name).exclude(pk=self.instance.pk)
        if others.exists():
            raise ValidationError(f"There is a prompt named {name} already. Choose another name, or open that one.")
        return name

    def clean_tags(self) -> list[str]:
        tags = list(dict.fromkeys(" ".join(tag.split()) for tag in self.cleaned_data["tags"].split(",") if tag.strip()))
        if len(tags) > MAX_TAGS or any(len(tag) > 40 for tag in tags):
            raise ValidationError(f"At most {MAX_TAGS} tags of at most 40 characters.")
        return tags


def read_json(text: str) -> dict[str, Any]:
    """An object, or ValidationError that says where the text stops being JSON."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValidationError(f"This is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    except (ValueError, RecursionError):
        raise ValidationError("This is nested too deeply, or holds a number too large.") from None
    if not isinstance(value, dict):
        raise ValidationError("This takes a JSON object, in braces.")
    return value


def model_choices(who: Answerers, chosen: str) -> list[tuple[str, str]]:
    """By key, as programs name them: a version stays readable where the model is gone."""
    choices = [("", "Chosen when it is used"), *((model.key, model.name) for model in who.models.values())]
    choices += [(adapter.key, f"{adapter} (adapter of {adapter.base})") for adapter in who.adapters.values()]
    if chosen and chosen not in dict(choices):
        choices.append((chosen, f"{chosen} (not here)"))
    return choices


def example_versions(team: Team, chosen: str) -> Sequence[ExampleSetVersion]:
    """The newest versions of each of the team's sets, and the one that is chosen already."""
    rows = ExampleSetVersion.objects.filter(set__team=team).select_related("set").order_by("set__name", "-number")
    newest = list(rows.filter(set__archived_at=None, number__gt=F("set__latest") - VERSIONS_OFFERED))
    if chosen and chosen not in {str(version.pk) for version in newest}:
        with suppress(ValidationError):  # not an id at all
            newest += rows.filter(pk=chosen)
    return newest
