"""The settings of a leave-one-out comparison: prompt version, who answers, the test rows and the metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from jobs.models import Dataset, Split
from workspace.chat_forms import Answerers, PastedNumber
from workspace.leave_one_out import MAX_ROWS, Plan
from workspace.models import ExampleSet, PromptVersion
from workspace.prompts import PromptError, variables_in
from workspace.scores import METRICS
from workspace.variables import parse_values

VERSIONS = 50


class TrialForm(forms.Form):
    """Bound to one example set; `plan` is what to start."""

    prompt_version = forms.ModelChoiceField(
        PromptVersion.objects.none(), label="Prompt version", help_text="One that uses this set.", empty_label=None
    )
    answers = forms.ChoiceField(label="Answers come from")
    rows_of = forms.ChoiceField(
        label="Test rows", help_text="A row's last question is the input, its answer is what is expected."
    )
    rows = PastedNumber("How many rows", "From the first on.", 1, MAX_ROWS, 20, whole=True)
    metric = forms.ChoiceField(label="Metric", choices=list(METRICS.items()), initial="f1")
    max_tokens = PastedNumber("Longest answer", "In tokens.", 1, 2048, 128, whole=True)
    variable = forms.CharField(
        label="The question goes into",
        required=False,
        help_text="The variable's name; needed only where the prompt has several and none stands out.",
    )
    others = forms.CharField(
        label="Other variables",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "tone = friendly"}),
        help_text="The same for every row, one a line: name = value.",
    )

    def __init__(self, found: ExampleSet, data: Any = None, *, asked: Mapping[str, str]) -> None:
        self.found = found
        self.who = Answerers(found.team)
        super().__init__(
            data, initial={key: asked[key] for key in ("prompt_version", "answers") if key in asked}, label_suffix=""
        )
        versions = PromptVersion.objects.filter(examples__set=found, prompt__archived_at=None)
        newest = list(versions.order_by("-created_at").values_list("pk", flat=True)[:VERSIONS])
        self.fields["prompt_version"].queryset = (  # type: ignore[attr-defined]
            versions.filter(pk__in=newest)
            .select_related("prompt__team", "examples__set")
            .order_by("prompt__name", "-number")
        )
        self.fields["answers"].choices = self.who.choices()  # type: ignore[attr-defined]
        self.fields["rows_of"].choices = self.parts()  # type: ignore[attr-defined]

    def parts(self) -> list[Any]:
        """The splits of the team's data sets, test rows first."""
        order = [Split.TEST, Split.VALIDATION, Split.TRAIN]
        return [
            (str(dataset), [(f"{dataset.pk}:{split}", f"{dataset}: {split.label.lower()}, {dataset.counts[split]:,} rows")
             for split in order if dataset.counts.get(split)])
            for dataset in Dataset.objects.for_team(self.found.team)[:VERSIONS]
        ]  # fmt: skip

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        version = cleaned.get("prompt_version")
        if version is None:
            return cleaned
        declared = version.declared()
        names = [variable.name for variable in declared]
        cleaned["variable"] = name = cleaned.get("variable", "").strip() or usual_variable(version)
        if not names:
            self.add_error("prompt_version", "This prompt has no variable that a row's question could go into.")
        elif name not in names:
            self.add_error("variable", f"Name one of {', '.join(names)}.")
        else:
            try:
                others = pairs(cleaned.get("others", ""))
                cleaned["values"] = parse_values([one for one in declared if one.name != name], others)
            except PromptError as error:
                self.add_error("others", str(error))
        return cleaned

    def plan(self) -> Plan:
        cleaned = self.cleaned_data
        model, adapter = self.who.pick(cleaned["answers"])
        dataset, _, split = cleaned["rows_of"].partition(":")
        return Plan(
            version=cleaned["prompt_version"],
            model=model,
            adapter=adapter,
            dataset=Dataset.objects.for_team(self.found.team).get(pk=dataset),
            split=split,
            rows=cleaned["rows"] or 20,
            metric=cleaned["metric"],
            max_tokens=cleaned["max_tokens"] or 128,
            variable=cleaned["variable"],
            values=cleaned["values"],
        )


def usual_variable(version: PromptVersion) -> str:
    """The variable that a question surely goes into: the only one of the prompt, else the only one in its last user
    message, else the only one without a default; empty where none stands out."""
    declared = version.declared()
    try:
        asked = variables_in([{"content": version.question()}])
    except PromptError:  # an include has gone; starting says so
        asked = []
    for names in (
        [variable.name for variable in declared],
        asked,
        [variable.name for variable in declared if not variable.default],
    ):
        if len(names) == 1:
            return names[0]
    return ""


def pairs(text: str) -> dict[str, str]:
    """Lines of "name = value"."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if line.strip() and not equals:
            raise PromptError("bad_value", f"{line.strip()[:40]!r} has no value: write name = value.")
        if line.strip():
            found[name.strip()] = value.strip()
    return found
