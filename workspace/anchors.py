"""What a comment can hang on: how to find the object inside a team, what it is called, and the page that shows it.

It does not know what is said there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import Http404

from jobs.models import Row
from workspace.models import Comment, Example, GridCell, Message, PromptVersion, Team

Kind = Comment.Kind


@dataclass(frozen=True)
class Anchor:
    """An object that is being talked about. `within` is what it belongs to: the prompt of a version, the chat of a
    message; `where` says which part of that it is."""

    team: Team
    kind: str
    object_id: str
    part: int | None
    within: Any
    where: str
    url: str

    @property
    def name(self) -> str:
        return f"{self.within}, {self.where}"

    @property
    def key(self) -> str:
        """As notices and pages name it."""
        return f"{self.kind}:{self.object_id}"

    def link(self, comment: Comment) -> str:
        """The page, with this comment open."""
        page, hash_, fragment = self.url.partition("#")
        return f"{page}{'&' if '?' in page else '?'}comment={comment.pk}{hash_}{fragment}"


def find(team: Team, kind: str, object_id: str, part: int | None = None) -> Anchor:
    """The object of this team; Http404 for what is not there, or is another team's."""
    look = _FIND.get(kind)
    if look is None or (part is not None and kind != Kind.PROMPT_VERSION):
        raise Http404
    try:
        key: Any = int(object_id) if kind == Kind.ROW else UUID(object_id)
        within, where, url = look(team, key, part)
    except (ValueError, LookupError, PromptVersion.DoesNotExist, Message.DoesNotExist, GridCell.DoesNotExist,
            Row.DoesNotExist, Example.DoesNotExist):  # fmt: skip
        raise Http404 from None
    return Anchor(team, kind, str(key), part, within, where, url)


def of(comment: Comment) -> Anchor:
    """What a comment is about. Http404 if that is gone."""
    return find(comment.team, comment.kind, comment.object_id, comment.part)


Found = tuple[Any, str, str]  # within, where, url


def _prompt_version(team: Team, key: UUID, part: int | None) -> Found:
    version = PromptVersion.objects.select_related("prompt__team").get(prompt__team=team, pk=key)
    where = f"version {version.number}"
    if part is not None:
        if part >= len(version.messages):
            raise LookupError
        where += f", message {part + 1}"
    return version.prompt, where, version.get_absolute_url()


def _message(team: Team, key: UUID, part: int | None) -> Found:
    message = Message.objects.select_related("chat__team", "author").get(chat__team=team, pk=key)
    where = f"{message.author}’s message" if message.author else "an answer"
    return message.chat, where, message.get_absolute_url()


def _cell(team: Team, key: UUID, part: int | None) -> Found:
    """Named by its input alone: a blind grid does not tell its columns."""
    cell = GridCell.objects.select_related("column__grid__team", "input").get(column__grid__team=team, pk=key)
    grid = cell.column.grid
    return grid, f"an answer to input {cell.input.position + 1}", f"{grid.get_absolute_url()}#cell-{cell.pk}"


def _row(team: Team, key: int, part: int | None) -> Found:
    row = Row.objects.select_related("dataset__team").get(dataset__team=team, pk=key)
    return row.dataset, f"row {row.position + 1:,}", f"{row.dataset.get_absolute_url()}#row-{row.position}"


def _example(team: Team, key: UUID, part: int | None) -> Found:
    example = Example.objects.select_related("set__team").get(set__team=team, pk=key)
    words = " ".join(example.input.split())
    where = f"example “{words[:40]}{'…' if len(words) > 40 else ''}”"
    return example.set, where, f"{example.set.get_absolute_url()}#example-{example.pk}"


_FIND: dict[str, Callable[[Team, Any, int | None], Found]] = {
    Kind.PROMPT_VERSION: _prompt_version,
    Kind.MESSAGE: _message,
    Kind.CELL: _cell,
    Kind.ROW: _row,
    Kind.EXAMPLE: _example,
}
