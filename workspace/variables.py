"""Typed variables: what a prompt's author declares about each `{{name}}`, and reading what people fill in.

A value leaves here as the text that goes into the prompt. It knows neither prompts nor forms; the form in
workspace/forms is made from these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal, Self, get_args

from jobs.numbers import parse_number
from jobs.texts import storable
from workspace.prompts import PromptError

Kind = Literal["text", "long", "number", "choice", "boolean", "date", "list", "json"]
KINDS: dict[str, str] = {
    "text": "Text",
    "long": "Long text",
    "number": "Number",
    "choice": "Choice",
    "boolean": "Yes or no",
    "date": "Date",
    "list": "List",
    "json": "JSON",
}
MAX_VALUE = 500_000  # characters
MAX_CHOICES = 200


@dataclass(frozen=True)
class Variable:
    """`default` is a text in the form's own words: "yes" for a boolean, one item a line for a list. A required variable
    must be filled in unless it has a default; one that is not required is empty text when left out."""

    name: str
    type: Kind = "text"
    required: bool = True
    default: str = ""
    choices: tuple[str, ...] = ()
    help: str = ""

    @property
    def kind(self) -> str:
        """The type as people call it."""
        return KINDS[self.type]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Raises PromptError."""
        name, kind = str(values.get("name", "")), values.get("type", "text")
        if kind not in get_args(Kind):
            raise PromptError("bad_value", f"{name} has the type {str(kind)[:40]!r}, which is none.", [name])
        listed = values.get("choices")
        choices = tuple(dict.fromkeys(map(str, listed))) if isinstance(listed, list | tuple) else ()
        if kind == "choice" and not choices:
            raise PromptError("bad_value", f"{name} is a choice without anything to choose from.", [name])
        if len(choices) > MAX_CHOICES:
            raise PromptError("bad_value", f"{name} has more than {MAX_CHOICES} choices.", [name])
        variable = cls(
            name,
            kind,
            bool(values.get("required", True)),
            str(values.get("default") or "")[:MAX_VALUE],
            choices if kind == "choice" else (),
            str(values.get("help") or "")[:300],
        )
        if variable.default:
            variable.parse(variable.default)
        return variable

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "choices": list(self.choices)}

    def parse(self, value: Any) -> str:
        """The text that goes into the prompt. Takes what a form sends and what JSON holds. Raises PromptError."""
        if value is None or value == "" or value == []:
            if self.default:
                return self.parse(self.default)
            if self.required:
                raise PromptError("missing", f"No value was given for {self.name}.", [self.name])
            return ""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > MAX_VALUE:
            raise self._wrong(f"has {len(text):,} characters; at most {MAX_VALUE:,} fit")
        return storable(str(getattr(self, f"_{self.type}")(value, text)))

    def _text(self, value: Any, text: str) -> str:
        return text.replace("\r\n", "\n")

    _long = _text

    def _number(self, value: Any, text: str) -> str:
        if isinstance(value, bool):
            raise self._wrong("takes a number, like 3 or 2.5")
        try:
            return f"{parse_number(text):.15g}"
        except ValueError:
            raise self._wrong("takes a number, like 3 or 2.5") from None

    def _choice(self, value: Any, text: str) -> str:
        if text not in self.choices:
            raise self._wrong(f"takes one of {', '.join(self.choices[:10])}")
        return text

    def _boolean(self, value: Any, text: str) -> str:
        word = text.strip().lower()
        if word in ("yes", "true", "on", "1"):
            return "yes"
        if word in ("no", "false", "off", "0"):
            return "no"
        raise self._wrong("takes yes or no")

    def _date(self, value: Any, text: str) -> str:
        try:
            return date.fromisoformat(text.strip()).isoformat()
        except ValueError:
            raise self._wrong("takes a date, like 2026-11-30") from None

    def _list(self, value: Any, text: str) -> str:
        """One item a line, or a JSON list; it reads as a bulleted list in the prompt."""
        items = value
        if isinstance(value, str):
            try:
                items = json.loads(value) if value.lstrip().startswith("[") else value.splitlines()
            except (ValueError, RecursionError):
                items = value.splitlines()
        if not isinstance(items, list):
            raise self._wrong("takes a list, one item a line")
        return "\n".join(f"- {str(item).strip()}" for item in items if str(item).strip())

    def _json(self, value: Any, text: str) -> str:
        try:
            return json.dumps(json.loads(value) if isinstance(value, str) else value, ensure_ascii=False, indent=2)
        except (ValueError, RecursionError):
            raise self._wrong("takes JSON") from None

    def _wrong(self, why: str) -> PromptError:
        return PromptError("bad_value", f"{self.name} {why}.", [self.name])


def declared(specs: Sequence[Mapping[str, Any]], used: Sequence[str]) -> list[Variable]:
    """The variables of a prompt in reading order: as declared, or required text where nothing was said."""
    known = {str(spec.get("name")): spec for spec in specs}
    return [Variable.from_dict({**known.get(name, {}), "name": name}) for name in used]


def parse_values(variables: Sequence[Variable], values: Mapping[str, Any]) -> dict[str, str]:
    """All values as text. Raises one PromptError that names every unknown, missing or unreadable one."""
    known = {variable.name for variable in variables}
    if unknown := [name for name in values if name not in known]:
        listed = ", ".join(str(name)[:64] for name in unknown)
        has = f"It has {', '.join(known)}." if known else "It has none."
        raise PromptError("unknown", f"This prompt has no variable {listed}. {has}", unknown)
    parsed, wrong = {}, []
    for variable in variables:
        try:
            parsed[variable.name] = variable.parse(values.get(variable.name))
        except PromptError as error:
            wrong.append(error)
    if missing := [name for error in wrong if error.code == "missing" for name in error.names]:
        raise PromptError("missing", f"No value was given for {', '.join(missing)}.", missing)
    if wrong:
        names = [name for error in wrong for name in error.names]
        raise PromptError("bad_value", " ".join(str(error) for error in wrong), names)
    return parsed
