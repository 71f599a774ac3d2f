"""A prompt as it lies in its editor: messages as rows, everything else as named texts, exactly as the form sends them.

One shape for a stored version, for what someone has typed, and for a merge of the two, so that each can be shown and
compared as any other. What may be saved is decided later, by workspace/forms/prompts.py and the models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from jobs.numbers import show_number
from workspace.models import PromptVersion
from workspace.prompts import Message
from workspace.variables import Variable

PLACEHOLDER = "placeholder"  # a row's role beside the language's own; its text is the placeholder's name
NUMBERS = ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed")
SHOTS = ("how", "count", "seed", "budget")
SETTINGS = (
    "model", *NUMBERS, "stop", "extra", "schema", "examples", *(f"shots_{name}" for name in SHOTS),
)  # fmt: skip
OF_A_VARIABLE = ("type", "required", "default", "choices", "help")  # sent as "type:word", ...

LABELS = {
    "model": "Default model",
    "max_tokens": "Longest answer",
    "temperature": "Temperature",
    "top_p": "Top p",
    "top_k": "Top k",
    "repetition_penalty": "Repetition penalty",
    "seed": "Seed",
    "stop": "Stop at",
    "extra": "Other settings",
    "schema": "Answer schema",
    "examples": "Few-shot set",
    "shots_how": "How examples are chosen",
    "shots_count": "Number of examples",
    "shots_seed": "Seed of the draw",
    "shots_budget": "Token budget of the examples",
}


@dataclass(frozen=True)
class Row:
    """One message. An empty role leaves it out (a merge offers that)."""

    role: str
    content: str

    @classmethod
    def of(cls, message: Message) -> Row:
        if message.get("type") == "placeholder":
            return cls(PLACEHOLDER, message["name"])
        return cls(message["role"], message["content"])

    def message(self) -> dict[str, str]:
        if self.role == PLACEHOLDER:
            return {"type": "placeholder", "name": self.content.strip()}
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True)
class Draft:
    rows: list[Row]
    fields: dict[str, str]

    @classmethod
    def blank(cls, kind: str) -> Draft:
        return cls([Row("user", "")] if kind == "text" else [Row("system", ""), Row("user", "")], {})

    @classmethod
    def of(cls, version: PromptVersion) -> Draft:
        fields = {**_settings(version), **_variables(version.variables)}
        return cls([Row.of(message) for message in version.messages], fields)

    @classmethod
    def posted(cls, data: QueryDict) -> Draft:
        """What the form sends, whatever it may be; line ends as they are stored."""
        roles, texts = data.getlist("role"), data.getlist("content")
        rows = [Row(role, _lines(text)) for role, text in zip(roles, texts, strict=False)]
        parts = {f"{part}:" for part in OF_A_VARIABLE}
        fields = {
            name: _lines(str(value))
            for name, value in data.items()
            if name in SETTINGS or f"{name.partition(':')[0]}:" in parts
        }
        return cls(rows, fields)

    def messages(self) -> list[dict[str, str]]:
        """Empty rows are left out, unless there is nothing else."""
        kept = [row.message() for row in self.rows if row.role and row.content.strip()]
        return kept or [row.message() for row in self.rows if row.role][:1]

    @property
    def variable_names(self) -> list[str]:
        return [name.partition(":")[2] for name in self.fields if name.startswith("type:")]

    def specs(self) -> list[dict[str, Any]]:
        """The variables as declared, for `save_version`."""
        return [self.spec(name) for name in self.variable_names]

    def spec(self, name: str) -> dict[str, Any]:
        said = {part: self.fields.get(f"{part}:{name}", "") for part in OF_A_VARIABLE}
        choices = [line.strip() for line in said["choices"].splitlines() if line.strip()]
        return {**said, "name": name, "type": said["type"] or "text", "required": said["required"] != "no",
                "choices": choices}  # fmt: skip


def label_of(field: str) -> str:
    """A field's name for people: "Temperature", "word: type"."""
    part, _, name = field.partition(":")
    return f"{name}: {part}" if name else LABELS.get(field, field)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def _settings(version: PromptVersion) -> dict[str, str]:
    config = dict(version.config)
    fields = dict.fromkeys(SETTINGS, "")
    if isinstance(config.get("model"), str):
        fields["model"] = config.pop("model")
    for name in NUMBERS:
        if isinstance(config.get(name), int | float) and not isinstance(config[name], bool):
            fields[name] = show_number(config.pop(name))
    stop = config.get("stop")
    if isinstance(stop, list) and all(isinstance(line, str) and "\n" not in line for line in stop):
        fields["stop"] = "\n".join(config.pop("stop"))
    fields["extra"] = as_json(config)
    fields["schema"] = as_json(version.schema)
    fields["examples"] = str(version.examples_id or "")
    return fields | {f"shots_{name}": str(version.shots.get(name, "")) for name in SHOTS}


def _variables(specs: list[dict[str, Any]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for variable in (Variable.from_dict(spec) for spec in specs):
        fields |= {
            f"type:{variable.name}": variable.type,
            f"required:{variable.name}": "yes" if variable.required else "no",
            f"default:{variable.name}": variable.default,
            f"choices:{variable.name}": "\n".join(variable.choices),
            f"help:{variable.name}": variable.help,
        }
    return fields


def as_json(value: Mapping[str, Any] | None) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""
