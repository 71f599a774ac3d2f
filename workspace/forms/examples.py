"""What people type about example sets: their names, pasted examples, a keeper's choice, and a comparison's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms

from llmstudio.asked import key_in, number_in
from workspace.examples import BadExample, Slot, Texts
from workspace.models import ExampleSet, Team


class SetForm(forms.ModelForm):  # type: ignore[type-arg]
    """A set's name and what it is for."""

    class Meta:
        model = ExampleSet
        fields = ["name", "description"]
        labels = {"description": "What it is for"}
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "off", "maxlength": 120}),
            "description": forms.Textarea(attrs={"rows": 2}),
        }

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        self.team = team
        self.fields["description"].required = False

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if ExampleSet.objects.for_team(self.team).filter(name=name).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError("Another set has this name. Choose a different one.")
        return name


class Places:
    """The places that the set page sent: which examples, in which order, and the texts of those that were changed.

    `errors` maps a place's key to what is wrong with its texts.
    """

    def __init__(self, data: Any) -> None:
        self.data = data
        self.seen = number_in(data.get("seen"))
        self.arranged = data.get("arranged") == "1"
        self.shown = [pk for text in data.get("shown", "").split(",") if (pk := key_in(text))]
        self.errors: dict[str, str] = {}
        self.moves: dict[UUID, int] = {}
        self.slots: list[Slot] = []
        for key in dict.fromkeys(data.getlist("key")):
            self._read(str(key))

    def _read(self, key: str) -> None:
        pk, texts = key_in(key), None
        if f"input-{key}" in self.data:
            try:
                texts = Texts.checked(
                    self.data[f"input-{key}"], self.data.get(f"output-{key}", ""), values_of(self.data, key)
                )
            except BadExample as error:
                self.errors[key] = str(error)
        if pk or texts:
            self.slots.append(Slot(pk, texts))
        if pk and (place := number_in(self.data.get(f"place-{key}"))):
            self.moves[pk] = place


def values_of(data: Mapping[str, str], key: str) -> dict[str, str]:
    """The values of variables that were typed for one example; empty ones are left out."""
    start = f"value-{key}-"
    return {name.removeprefix(start): data[name] for name in data if name.startswith(start) and data[name]}
