"""Two people's drafts of one prompt, brought together over the version that both began with.

What only one of them touched is taken over; where both did, what the second one typed is kept and theirs is shown beside it.
It knows drafts only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from workspace.diffs import Piece, aligned, word_diff
from workspace.drafts import Draft, Row, label_of
from workspace.prompts import variables_in


@dataclass(frozen=True)
class Choice:
    """A message of the merge: what stands now, and what the two have there (None: it is not in theirs, or not in mine)."""

    row: Row
    mine: Row | None
    theirs: Row | None
    conflict: bool = False

    @property
    def differs(self) -> bool:
        return self.mine != self.theirs

    @property
    def pieces(self) -> list[Piece]:
        """How mine differs from theirs, word by word."""
        return word_diff(self.theirs.content if self.theirs else "", self.mine.content if self.mine else "")


@dataclass(frozen=True)
class Field:
    name: str
    value: str
    mine: str
    theirs: str
    conflict: bool

    @property
    def label(self) -> str:
        return label_of(self.name)


@dataclass(frozen=True)
class Merge:
    choices: list[Choice]
    fields: dict[str, str]
    differing: list[Field] = field(default_factory=list)

    @property
    def draft(self) -> Draft:
        return Draft([choice.row for choice in self.choices], self.fields)

    @property
    def conflicts(self) -> int:
        return sum(one.conflict for one in self.choices) + sum(one.conflict for one in self.differing)


def merge(base: Draft, mine: Draft, theirs: Draft) -> Merge:
    choices = _rows(base.rows, mine.rows, theirs.rows)
    fields, differing = _fields(base.fields, mine.fields, theirs.fields)
    merged = Merge(choices, fields)
    used = set(variables_in(merged.draft.messages()))
    spoken_of = [one for one in differing if ":" not in one.name or one.name.partition(":")[2] in used]
    return Merge(choices, fields, spoken_of)


def _fields(base: dict[str, str], mine: dict[str, str], theirs: dict[str, str]) -> tuple[dict[str, str], list[Field]]:
    fields, differing = {}, []
    for name in dict.fromkeys([*mine, *theirs]):
        was, my, their = base.get(name, ""), mine.get(name, ""), theirs.get(name, "")
        value = their if my == was else my
        fields[name] = value
        if my != their:
            differing.append(Field(name, value, my, their, conflict=was not in (my, their)))
    return fields, differing


def _rows(base: Sequence[Row], mine: Sequence[Row], theirs: Sequence[Row]) -> list[Choice]:
    """Along the base: what either of them put in before each of its messages, then the message itself."""
    my_kept, my_new = _against(base, mine)
    their_kept, their_new = _against(base, theirs)
    choices: list[Choice] = []
    for at in range(len(base) + 1):
        fresh = [row for row in their_new[at] if row not in my_new[at]]
        choices += [Choice(row, None, row) for row in fresh]
        choices += [Choice(row, row, row if row in their_new[at] else None) for row in my_new[at]]
        if at < len(base):
            choices += _one(base[at], my_kept[at], their_kept[at])
    return choices


def _one(was: Row, my: Row | None, their: Row | None) -> list[Choice]:
    if my is None and their is None:
        return []
    if my == was:  # only they touched it
        return [Choice(their or Row("", was.content), my, their)]
    if their == was:
        return [Choice(my or Row("", was.content), my, their)]
    return [Choice(my or Row("", their.content if their else ""), my, their, conflict=my != their)]


def _against(base: Sequence[Row], rows: Sequence[Row]) -> tuple[list[Row | None], list[list[Row]]]:
    """What became of each message of the base, and what is new before each (and after the last)."""
    kept: list[Row | None] = [None] * len(base)
    new: list[list[Row]] = [[] for _ in range(len(base) + 1)]
    at = 0
    for was, now in aligned(base, rows, alike=lambda a, b: a.role == b.role):
        if was is None and now is not None:
            new[at].append(now)
        else:
            kept[at] = now
            at += 1
    return kept, new
