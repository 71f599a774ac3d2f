"""What people fill in for data: how a file is to be read, and how its rows are split."""

from __future__ import annotations

from typing import Any, cast

from django import forms

from jobs.datasets.detection import Guess, columns_of, guess_mapping
from jobs.models import Import, Split, StoredFile
from jobs.numbers import parse_number, show_number


class NumberField(forms.CharField):
    """A number in any form that people paste. `whole` asks for an integer."""

    def __init__(self, *, low: float, high: float, whole: bool = False, **options: Any) -> None:
        self.low, self.high, self.whole = low, high, whole
        options.setdefault("widget", forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}))
        super().__init__(**options)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if text == "":
            return None
        try:
            number = parse_number(text)
        except ValueError:
            raise forms.ValidationError(f"“{text}” is not a number.") from None
        if self.whole and number != int(number):
            raise forms.ValidationError("This is a whole number.")
        if not self.low <= number <= self.high:
            raise forms.ValidationError(f"Between {show_number(self.low)} and {show_number(self.high)}.")
        return int(number) if self.whole else number

    def prepare_value(self, value: Any) -> Any:
        return show_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class ImportForm(forms.Form):
    """How to read one uploaded file. Unbound it shows what was guessed."""

    PARTS = ("prompt", "completion", "system", "split")

    name = forms.CharField(max_length=120, label="Name of the data set", strip=True)
    format = forms.ChoiceField(label="Format", choices=Import.Format.choices)
    prompt = forms.ChoiceField(required=False, label="Prompt", help_text="The column with what the model is asked.")
    completion = forms.ChoiceField(
        required=False, label="Answer", help_text="The column with what it shall learn to say."
    )
    system = forms.ChoiceField(required=False, label="System prompt", help_text="Optional.")
    split = forms.ChoiceField(
        required=False, label="Split", help_text="Optional: train, validation or test in each row."
    )
    splitting = forms.ChoiceField(
        label="Splits", choices=[("auto", "Automatic"), ("share", "By share")], widget=forms.RadioSelect
    )
    validation = NumberField(low=0, high=50, required=False, label="Validation, %")
    test = NumberField(low=0, high=50, required=False, label="Test, %")

    def __init__(self, file: StoredFile, guess: Guess, data: Any = None) -> None:
        self.file, self.guess = file, guess
        stem = file.filename.rsplit(".", 1)[0].replace("_", " ").replace("-", " ").strip()
        initial = {
            "name": stem[:120] or "Data",
            "format": guess.format,
            "splitting": "auto",
            "validation": 10,
            "test": 0,
            **guess.mapping,
        }
        super().__init__(data, initial=initial)
        self._offer("format", [*([] if guess.format else [("", "Choose…")]), *Import.Format.choices])
        self.is_table = (data.get("format") if data else guess.format) == Import.Format.CSV
        columns = guess.columns or (columns_of(file.path) if self.is_table else [])
        if columns and not guess.mapping:
            self.initial = {**self.initial, **guess_mapping(columns)}
        for part in self.PARTS:
            none = ("", "Choose…" if part in ("prompt", "completion") else "None")
            self._offer(part, [none, *((column, column) for column in columns)])

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        cast(forms.ChoiceField, self.fields[name]).choices = choices

    @property
    def columns(self) -> list[forms.BoundField]:
        return [self[part] for part in self.PARTS]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.is_table:
            for part in ("prompt", "completion"):
                if not cleaned.get(part) and part not in self.errors:
                    self.add_error(part, "Choose a column.")
            chosen = list(self.mapping().values())
            if len(set(chosen)) != len(chosen):
                self.add_error(None, "One column was chosen twice. Each part needs a column of its own.")
        return cleaned

    def mapping(self) -> dict[str, str]:
        """Part -> column, as chosen or (unbound) as guessed."""
        if not self.is_table:
            return {}
        values = self.cleaned_data if self.is_bound and hasattr(self, "cleaned_data") else self.initial
        return {part: values[part] for part in self.PARTS if values.get(part)}

    def shares(self) -> dict[str, float]:
        if self.cleaned_data["splitting"] == "auto":
            return {}
        validation, test = ((self.cleaned_data[name] or 0) / 100 for name in ("validation", "test"))
        return {Split.TRAIN: round(1 - validation - test, 6), Split.VALIDATION: validation, Split.TEST: test}
