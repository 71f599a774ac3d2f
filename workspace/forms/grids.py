"""The forms of the playground: a column, a pasted table, rows of a data set, and what goes into a new data set."""

from __future__ import annotations

from copy import deepcopy
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError

from jobs.models import Dataset, Row, Split
from workspace import prompts
from workspace.chat_forms import Answerers, ChatSettings, PastedNumber, answers_key
from workspace.models import GridColumn, PromptVersion, Team
from workspace.models.grids import MAX_INPUTS
from workspace.prompts import PromptError
from workspace.variables import Variable

PARAMS = ChatSettings.PARAMS


class ColumnForm(forms.Form):
    """A column: a prompt's version or messages typed here, who answers, and how. `fields_of` is what the row takes."""

    label = forms.CharField(
        label="Name",
        max_length=120,
        required=False,
        help_text="Shown above the column. Empty: the prompt and the model.",
    )
    source = forms.ChoiceField(
        label="What is asked",
        choices=[("prompt", "A prompt"), ("messages", "Messages typed here")],
        widget=forms.RadioSelect,
    )
    prompt_version = forms.UUIDField(required=False, widget=forms.HiddenInput)
    answers = forms.ChoiceField(label="Answers come from")

    def __init__(self, team: Team, data: Any = None, *, column: GridColumn | None = None) -> None:
        initial: dict[str, Any] = {"source": "prompt" if column is None or column.prompt_version_id else "messages"}
        if column:
            initial |= {name: column.params.get(name) for name in PARAMS}
            initial |= {
                "label": column.label,
                "prompt_version": column.prompt_version_id,
                "answers": answers_key(column.model, column.adapter),
                "stop": "\n".join(column.params.get("stop", ())),
            }
        super().__init__(data, initial=initial, prefix="column", label_suffix="")
        self.team, self.who = team, Answerers(team)
        for name in (*PARAMS, "stop"):
            self.fields[name] = deepcopy(ChatSettings.base_fields[name])
        choices = self.who.choices()
        if column and not self.who.has(initial["answers"]):
            choices.insert(0, (initial["answers"], f"{column.adapter or column.model} (no longer available)"))
        self.fields["answers"].choices = choices  # type: ignore[attr-defined]
        self.messages = column.messages if column else []
        if data is not None:
            pairs = zip(data.getlist("role"), data.getlist("content"), strict=False)
            self.messages = [{"role": role, "content": text} for role, text in pairs]

    @property
    def shown_messages(self) -> list[prompts.Message]:
        return self.messages or [{"role": "user", "content": ""}]

    @property
    def parameters(self) -> list[forms.BoundField]:
        return [self[name] for name in (*PARAMS, "stop")]

    def chosen_version(self) -> PromptVersion | None:
        """The version that the form points at, if it is one of this team's."""
        key = self.data.get("column-prompt_version") if self.is_bound else self.initial.get("prompt_version")
        try:
            versions = PromptVersion.objects.select_related("prompt", "author")
            return versions.filter(prompt__team=self.team, pk=UUID(str(key))).first()
        except ValueError:
            return None

    clean_stop = ChatSettings.clean_stop

    def clean_answers(self) -> str:
        answers: str = self.cleaned_data["answers"]
        if not self.who.has(answers):
            raise ValidationError("This model is no longer available here. Choose another.")
        return answers

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        if cleaned.get("source") == "prompt":
            cleaned["version"], cleaned["messages"] = self.chosen_version(), []
            if cleaned["version"] is None:
                self.add_error("source", "Choose a prompt from the list, or type the messages here.")
        else:
            cleaned["version"] = None
            try:
                cleaned["messages"] = prompts.checked_messages([one for one in self.messages if one["content"].strip()])
            except PromptError as error:
                self.add_error("source", str(error))
        return cleaned

    def fields_of(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        params = {name: cleaned[name] for name in PARAMS if cleaned[name] is not None}
        if cleaned["stop"]:
            params["stop"] = cleaned["stop"]
        model, adapter = self.who.pick(cleaned["answers"])
        return {
            "label": cleaned["label"], "prompt_version": cleaned["version"], "messages": cleaned["messages"],
            "model": model, "adapter": adapter, "params": params,
        }  # fmt: skip


class TableForm(forms.Form):
    table = forms.CharField(
        label="Table",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "class": "mono"}),
    )
    file = forms.FileField(label="Or a CSV or TSV file", required=False)
    keep_unused = forms.BooleanField(label="Also keep columns that no prompt here uses", required=False)

    def __init__(self, data: Any = None, files: Any = None) -> None:
        super().__init__(data, files, prefix="table", label_suffix="")

    def clean(self) -> dict[str, Any]:
        upload = self.cleaned_data.get("file")
        if upload:
            if upload.size > 4_000_000:
                raise ValidationError(
                    f"This file has {upload.size / 1e6:.1f} MB; at most 4 MB are read here. Import it as a data set "
                    "under Data, and take its rows."
                )
            try:
                self.cleaned_data["table"] = upload.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise ValidationError("This file is not UTF-8 text. Save it as CSV in UTF-8 and try again.") from None
        return self.cleaned_data


class RowsForm(forms.Form):
    """Rows of a data set as inputs: the last question becomes a variable's value, the answer what is expected."""

    dataset = forms.ModelChoiceField(Dataset.objects.none(), label="Data set")
    split = forms.ChoiceField(label="Rows of", required=False, choices=[("", "All splits"), *Split.choices])
    variable = forms.ChoiceField(label="The last question becomes")
    count = PastedNumber("How many", "Rows to take.", 1, MAX_INPUTS, 20, whole=True)
    seed = PastedNumber(
        "Draw with seed",
        "Empty takes the first rows; a number draws some, always the same.",
        0,
        2**32 - 1,
        None,
        whole=True,
    )

    def __init__(self, team: Team, variables: list[Variable], data: Any = None, *, dataset: str = "") -> None:
        super().__init__(data, initial={"dataset": dataset, "count": 20}, prefix="rows", label_suffix="")
        self.fields["dataset"].queryset = Dataset.objects.for_team(team)  # type: ignore[attr-defined]
        names = [variable.name for variable in variables] or ["question"]
        self.fields["variable"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]

    def chosen(self) -> list[Row]:
        """The rows, in order."""
        cleaned = self.cleaned_data
        rows = Row.objects.filter(dataset=cleaned["dataset"]).showing(cleaned["split"], "")
        return list(rows.drawn(int(cleaned["count"] or 20), cleaned["seed"]))


class CollectForm(forms.Form):
    """Where picked answers go: a new data set, which may begin with the rows of another."""

    which = forms.ChoiceField(
        label="Which answers",
        choices=[
            ("good", "Those rated good or corrected"),
            ("chosen", "The ones I have marked"),
            ("all", "All of them"),
        ],
        widget=forms.RadioSelect,
    )
    name = forms.CharField(label="Name of the new data set", max_length=120)
    base = forms.ModelChoiceField(
        Dataset.objects.none(),
        label="Begin with the rows of",
        required=False,
        empty_label="None: only these answers",
        help_text="Data sets are sealed, so that a run can always be looked up: this makes a new one with both.",
    )

    def __init__(self, team: Team, data: Any = None, *, name: str = "", which: str = "good") -> None:
        super().__init__(data, initial={"name": name, "which": which}, prefix="collect", label_suffix="")
        self.fields["base"].queryset = Dataset.objects.for_team(team)  # type: ignore[attr-defined]
