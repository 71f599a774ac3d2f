"""The lines of the list of conversations. Sixty beside every chat: they are read as plain values, of four tables a dozen
columns, and each is drawn once for whoever sees it alike (workspace/templatetags/kept.py). Together a tenth of a chat's page."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from workspace.models import Team, User
from workspace.models.chats import ChatQuerySet
from workspace.templatetags.studio import ago


class ChatLine(NamedTuple):
    """One of them. The names are those of a Chat's fields, as a template knows them."""

    pk: UUID
    title: str
    beside_id: UUID | None
    updated_at: datetime
    model: str
    adapter: str | None
    author_id: UUID
    author_name: str
    author_email: str

    def __str__(self) -> str:
        return self.title or "New chat"

    @property
    def answers(self) -> str:
        return self.adapter or self.model

    @property
    def author(self) -> User:
        """As far as a line names them."""
        return User(pk=self.author_id, name=self.author_name, email=self.author_email)

    def drawn_as(self, team: Team, reader: User, current: UUID | None) -> tuple[Any, ...]:
        """Names its drawing: all that it shows."""
        return ("chat", team.slug, self, self.author_id == reader.pk, self.pk == current, ago(self.updated_at))


COLUMNS = (
    "pk", "title", "beside_id", "updated_at", "model__name", "adapter__name", "author_id", "author__name", "author__email",
)  # fmt: skip


def lines(rows: ChatQuerySet) -> Iterable[ChatLine]:
    return map(ChatLine._make, rows.values_list(*COLUMNS))
