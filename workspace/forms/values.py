"""The form that a prompt's variables make: one field each, by type, with its default and help.

Used wherever a prompt is filled in: its own page, the chat's `/`, the playground. Reading and checking the values is
`workspace.variables`; this only draws fields and puts each complaint at its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from workspace.prompts import PromptError
from workspace.variables import Variable

WIDGETS: dict[str, type[forms.Widget]] = {
    "text": forms.TextInput,
    "long": forms.Textarea,
    "number": forms.TextInput,
    "date": forms.DateInput,
    "list": forms.Textarea,
    "json": forms.Textarea,
}
ATTRS: dict[str, dict[str, Any]] = {
    "long": {"rows": 4},
    "number": {"inputmode": "decimal"},
    "date": {"type": "date"},
    "list": {"rows": 3, "placeholder": "One item a line"},
    "json": {"rows": 4, "placeholder": "{ }", "spellcheck": "false"},
}


class ValuesForm(forms.Form):
    """Bound to a prompt version's variables. `parsed` holds the texts that go into the prompt, once the form is valid."""

    parsed: dict[str, str]

    def __init__(
        self, variables: Sequence[Variable], data: Mapping[str, Any] | None = None, *, prefix: str = "v"
    ) -> None:
        super().__init__(data, prefix=prefix, label_suffix="")
        self.variables = variables
        for variable in variables:
            self.fields[variable.name] = field_of(variable)

    def clean(self) -> dict[str, Any]:
        self.parsed = {}
        for variable in self.variables:
            try:
                self.parsed[variable.name] = variable.parse(self.cleaned_data.get(variable.name))
            except PromptError as error:
                self.add_error(variable.name, str(error))
        return self.cleaned_data


def field_of(variable: Variable) -> forms.Field:
    """Never required by Django: `Variable.parse` says what is missing, and knows defaults."""
    common = {
        "label": variable.name,
        "required": False,
        "initial": variable.default,
        "help_text": variable.help or ("" if variable.required else "May be left empty."),
    }
    if variable.type in ("choice", "boolean"):
        options = variable.choices if variable.type == "choice" else ("yes", "no")
        choices = [*([] if variable.default else [("", "–")]), *((option, option) for option in options)]
        return forms.ChoiceField(choices=choices, **common)  # type: ignore[arg-type]
    widget = WIDGETS[variable.type](attrs=ATTRS.get(variable.type, {}))
    return forms.CharField(widget=widget, strip=False, **common)  # type: ignore[arg-type]
