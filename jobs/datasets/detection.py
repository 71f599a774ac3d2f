"""What an uploaded file most likely is, and why we think so: a guess with its evidence, for a person to confirm."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from jobs.datasets import readers
from jobs.datasets.imports import parse
from jobs.datasets.readers import NotReadable
from jobs.datasets.rows import BadRow, Parsed
from jobs.models import Import

SAMPLE = 20
PREVIEW = 5

# Column names that people use, most telling first.
NAMES = {
    "prompt": ("prompt", "question", "instruction", "input", "source", "query", "user", "english", "en", "text"),
    "completion": (
        "completion",
        "answer",
        "output",
        "response",
        "target",
        "translation",
        "assistant",
        "generation",
        "label",
    ),
    "system": ("system", "system_prompt", "context"),
    "split": ("split", "subset", "fold"),
}


@dataclass(frozen=True)
class Guess:
    """`format` is empty when nothing fits; the evidence then says what was found instead."""

    format: str
    evidence: str
    columns: list[str] = field(default_factory=list)
    mapping: dict[str, str] = field(default_factory=dict)
    has_split: bool = False


@dataclass(frozen=True)
class Sample:
    """A row of the preview: what it would become, or why it cannot."""

    line: int
    messages: list[dict[str, str]]
    split: str
    reason: str

    @property
    def answer(self) -> str:
        return self.messages[-1]["content"]


def guess(path: Path, filename: str) -> Guess:
    try:
        first = list(islice(readers.json_lines(path), SAMPLE))
    except NotReadable as error:
        return Guess("", str(error))
    if not first:
        return Guess("", "The file is empty.")
    objects = [value for _, value in first if isinstance(value, dict)]
    if len(objects) * 2 > len(first):
        return _json_guess(objects, len(first))
    if any(isinstance(value, list) for _, value in first) or path.open("rb").read(64).lstrip(
        b"\xef\xbb\xbf \r\n\t"
    ).startswith(b"["):
        return Guess(
            "", "The file is one JSON list. In JSONL every line is one object: write each entry on a line of its own."
        )
    return _table_guess(path, filename)


def _json_guess(objects: list[dict[str, Any]], lines: int) -> Guess:
    has_split = any(value.get("split") for value in objects)
    found = f"{len(objects)} of the first {lines} lines are JSON objects" if lines > 1 else "The line is a JSON object"
    for format, key in ((Import.Format.CHAT, "messages"), (Import.Format.COMPLETION, "prompt")):
        having = sum(key in value for value in objects)
        if having * 2 > len(objects):
            return Guess(format, f"{found}, {having} with “{key}”.", has_split=has_split)
    keys = ", ".join(list(objects[0])[:6]) or "none"
    return Guess("", f"{found}, but without “messages” or “prompt” and “completion”. The first has the keys: {keys}.")


def _table_guess(path: Path, filename: str) -> Guess:
    try:
        delimiter, columns = readers.header(path)
    except NotReadable as error:
        return Guess("", str(error))
    if len(columns) < 2:
        return Guess(
            "",
            f"{filename} is neither JSON objects, one a line, nor a table: its first line has no comma, semicolon or tab.",
        )
    mapping = guess_mapping(columns)
    name = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[delimiter]
    evidence = f"The first line has {len(columns)} names separated by {name}: {', '.join(columns[:8])}."
    return Guess(Import.Format.CSV, evidence, columns, mapping, has_split="split" in mapping)


def guess_mapping(columns: list[str]) -> dict[str, str]:
    """Columns by their names; of a narrow table with unknown names the first asks and the next answers."""
    lowered = {column.lower().strip(): column for column in columns}
    mapping: dict[str, str] = {}
    for part, names in NAMES.items():
        found = next(
            (lowered[name] for name in names if name in lowered and lowered[name] not in mapping.values()), None
        )
        if found:
            mapping[part] = found
    rest = [column for column in columns if column not in mapping.values()]
    for part in ("prompt", "completion"):
        if part not in mapping and rest and len(columns) <= 3:
            mapping[part] = rest.pop(0)
    return mapping


def columns_of(path: Path) -> list[str]:
    try:
        return readers.header(path)[1]
    except NotReadable:
        return []


def preview(path: Path, format: str, mapping: dict[str, str]) -> list[Sample]:
    """The first rows as they would be imported. Raises NotReadable like an import would."""
    if format == Import.Format.CSV and not {"prompt", "completion"} <= mapping.keys():
        return []
    samples = []
    for line, value in islice(readers.entries(path, format), PREVIEW):
        try:
            if isinstance(value, BadRow):
                raise value
            row: Parsed = parse(value, format, mapping)
            samples.append(Sample(line, row.messages, row.split or "", ""))
        except BadRow as problem:
            samples.append(Sample(line, [], "", str(problem)))
    return samples
