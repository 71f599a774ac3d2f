"""Examples out of pasted text: a table (CSV or TSV) or JSON lines, each line an example or a reason why not.

It knows texts only. Columns named input and output make the example; any other column is the value of that variable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.texts import typed
from workspace.examples import BadExample, Texts
from workspace.prompts import NAME
from workspace.tables import records

MAX_PASTE = 1_000_000  # characters
MAX_REPORTED = 100  # bad lines that are listed; all are counted
NAMES = {
    **dict.fromkeys(("input", "question", "prompt", "user", "source"), "input"),
    **dict.fromkeys(("output", "answer", "completion", "assistant", "response", "expected", "target"), "output"),
}

Line = tuple[int, Mapping[str, Any] | str]  # its number, and its fields or what is wrong with it


class NotReadable(ValueError):
    """The text as a whole cannot be read; the message says why and what to do."""


@dataclass
class Pasted:
    """What was read. `bad` lists the first bad lines by number; `wrong` counts all of them."""

    good: list[Texts] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)
    wrong: int = 0

    def refuse(self, line: int, reason: str) -> None:
        self.wrong += 1
        if len(self.bad) < MAX_REPORTED:
            self.bad.append((line, reason))


def read(text: str, *, most: int) -> Pasted:
    """At most `most` examples. Raises NotReadable."""
    if len(text) > MAX_PASTE:
        raise NotReadable(
            f"This is {len(text):,} characters; at most {MAX_PASTE:,} can be pasted at once. "
            "Import larger material as a data set."
        )
    text = typed(text.removeprefix("\ufeff")).replace("\r", "\n")
    if not text.strip():
        raise NotReadable("Nothing was pasted. Paste a table with the columns input and output, or JSON lines.")
    pasted = Pasted()
    for number, found in _json_lines(text) if text.lstrip().startswith("{") else _table(text):
        if isinstance(found, str):
            pasted.refuse(number, found)
            continue
        try:
            pasted.good.append(_texts(found))
        except BadExample as error:
            pasted.refuse(number, str(error))
        if len(pasted.good) > most:
            raise NotReadable(f"There are more examples here than the set has room for: {most:,} more fit.")
    return pasted


def _json_lines(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except json.JSONDecodeError as error:
            yield number, f"This is not JSON: {error.msg[0].lower()}{error.msg[1:]}, at character {error.colno}."
        except (ValueError, RecursionError):
            yield number, "This is not JSON that can be read."
        else:
            yield number, found if isinstance(found, dict) else "This is not a JSON object."


def _table(text: str) -> Iterator[Line]:
    columns: list[str] = []
    for line, cells in records(text):
        if isinstance(cells, str):
            if not columns:
                raise NotReadable(f"The first line, which names the columns, cannot be read: {cells}.")
            yield line, f"This line cannot be read: {cells}."
        elif not columns:
            columns = _header(cells)
        elif len(cells) != len(columns):
            have = "one field" if len(cells) == 1 else f"{len(cells)} fields"
            yield line, f"This line has {have} where the first line names {len(columns)} columns."
        else:
            yield line, dict(zip(columns, cells, strict=True))


def _header(cells: list[str]) -> list[str]:
    columns = [cell.strip() for cell in cells]
    named = [NAMES.get(column.lower(), column) for column in columns]
    if "input" not in named or "output" not in named:
        shown = ", ".join(column[:30] for column in columns[:8])
        raise NotReadable(f"The first line names the columns; input and output must be among them. It says: {shown}.")
    if len(set(named)) != len(named):
        raise NotReadable("Two columns have the same name. Rename one and paste again.")
    return columns


def _texts(fields: Mapping[str, Any]) -> Texts:
    """Raises BadExample."""
    if isinstance(messages := fields.get("messages"), list):
        fields = {**{key: value for key, value in fields.items() if key != "messages"}, **_from_chat(messages)}
    texts: dict[str, Any] = {}
    values: dict[str, Any] = dict(fields["values"]) if isinstance(fields.get("values"), dict) else {}
    for name, value in fields.items():
        role = NAMES.get(name.lower())
        if role and role not in texts:
            texts[role] = value
        elif name != "values" and value not in ("", None):
            values[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if wrong := next((name for name in values if not re.fullmatch(NAME, name)), None):
        raise BadExample("values", f"{wrong[:40]!r} cannot be a variable's name: letters, digits, _ . and - make one.")
    for role in ("input", "output"):
        if role not in texts:
            raise BadExample(role, f"There is no {role}.")
    return Texts.checked(texts["input"], texts["output"], values)


def _from_chat(messages: list[Any]) -> dict[str, Any]:
    """The last question and its answer, out of OpenAI's chat format."""
    turns = [turn for turn in messages if isinstance(turn, dict)]
    if len(turns) < 2 or [turn.get("role") for turn in turns[-2:]] != ["user", "assistant"]:
        raise BadExample("output", "The messages do not end with a question of the user and its answer.")
    return {"input": turns[-2].get("content"), "output": turns[-1].get("content")}
