"""Where an example can come from: a chat answer, a playground cell or a data set's row, found inside one team.

One function resolves them all, so that whoever keeps an example shows the same texts and leads back to the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist

from jobs.models import Generation, Row
from workspace.models import Feedback, GridCell, Message, Team


class NotThere(ObjectDoesNotExist):
    """No such source in this team, or one without an answer."""


@dataclass(frozen=True)
class Source:
    """A question and its answer (a person's correction where there is one), and the address that shows them."""

    input: str
    output: str
    url: str
    values: Mapping[str, str] = field(default_factory=dict)
    corrected: bool = False


def find(kind: str, key: str, team: Team) -> Source:
    """`kind` is message, cell or row. Raises NotThere."""
    finders = {"message": _message, "cell": _cell, "row": _row}
    if kind not in finders:
        raise NotThere
    try:
        return finders[kind](key, team)
    except (ValueError, OverflowError, ObjectDoesNotExist):
        raise NotThere from None


def _message(key: str, team: Team) -> Source:
    said = Message.objects.select_related("chat__team", "parent", "generation", "stand_in").get(
        chat__team=team, pk=UUID(key), role="assistant", parent__isnull=False
    )
    output, corrected = _answer(said.generation, said.stand_in)
    return Source(said.parent.content if said.parent else "", output, said.get_absolute_url(), corrected=corrected)


def _cell(key: str, team: Team) -> Source:
    rows = GridCell.objects.select_related("column__grid__team", "input", "generation")
    cell = rows.get(column__grid__team=team, pk=UUID(key), generation__isnull=False)
    output, corrected = _answer(cell.generation)
    values = {name: value for name, value in cell.input.values.items() if isinstance(value, str)}
    asked = [turn for turn in (cell.generation.messages if cell.generation else []) if turn["role"] == "user"]
    question = asked[-1]["content"] if asked else ""
    if len(values) == 1:  # the prompt's own words go around it again when the example is used
        [question] = values.values()
    return Source(question, output, cell.get_absolute_url(), values, corrected)


def _row(key: str, team: Team) -> Source:
    row = Row.objects.select_related("dataset__team").get(dataset__team=team, pk=int(key))
    return Source(row.prompt, row.answer, f"{row.dataset.get_absolute_url()}#row-{row.position}")


def _answer(generation: Generation | None, stand_in: Feedback | None = None) -> tuple[str, bool]:
    """The correction that the chat itself goes by, else the newest one, else what the model said (its JSON repaired)."""
    if generation is None:
        return "", False
    latest = generation.latest
    corrected = Feedback.objects.filter(generation__in=[generation, latest]).exclude(correction="")
    correction = stand_in if stand_in and stand_in.correction else corrected.first()
    return (correction.correction, True) if correction else (latest.text, False)
