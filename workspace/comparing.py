"""What differs between two versions of a prompt: messages beside each other, settings and variables one by one."""

from __future__ import annotations

from dataclasses import dataclass

from workspace.diffs import Piece, aligned, word_diff
from workspace.drafts import Draft, Row, label_of
from workspace.models import PromptVersion


@dataclass(frozen=True)
class Change:
    """One message in the old and the new version; None where it is not there."""

    old: Row | None
    new: Row | None

    @property
    def kind(self) -> str:
        if self.old is None or self.new is None:
            return "added" if self.old is None else "removed"
        return "same" if self.old == self.new else "changed"

    @property
    def role(self) -> str:
        return (self.new or self.old or Row("", "")).role

    @property
    def pieces(self) -> list[Piece]:
        return word_diff(self.old.content if self.old else "", self.new.content if self.new else "")


@dataclass(frozen=True)
class Setting:
    label: str
    pieces: list[Piece]


@dataclass(frozen=True)
class Comparison:
    changes: list[Change]
    settings: list[Setting]

    @property
    def same(self) -> bool:
        return not self.settings and all(change.kind == "same" for change in self.changes)


def compare(old: PromptVersion, new: PromptVersion) -> Comparison:
    before, after = Draft.of(old), Draft.of(new)
    pairs = aligned(before.rows, after.rows, alike=lambda a, b: a.role == b.role)
    was, now = _readable(old, before.fields), _readable(new, after.fields)
    names = [name for name in dict.fromkeys([*was, *now]) if was.get(name, "") != now.get(name, "")]
    settings = [Setting(label_of(name), word_diff(was.get(name, ""), now.get(name, ""))) for name in names]
    return Comparison([Change(*pair) for pair in pairs], settings)


def _readable(version: PromptVersion, fields: dict[str, str]) -> dict[str, str]:
    """The example set by its name; how examples are chosen only where there are any."""
    if version.examples is None:
        return {name: value for name, value in fields.items() if not name.startswith("shots_")}
    return fields | {"examples": str(version.examples)}
