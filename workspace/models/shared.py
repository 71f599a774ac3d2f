"""What a team works on together and never loses: every change is told, changes take turns, and what is put away stays as
it was until someone takes it back out. What is changed is the kinds' own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now

from jobs import notices
from workspace.models.activity import HEARD, Activity

if TYPE_CHECKING:
    from uuid import UUID

    from workspace.models.people import User


class Archived(Exception):
    """A change to something that has been put away; nothing was stored."""

    def __init__(self, thing: models.Model) -> None:
        super().__init__(f"This {thing._meta.verbose_name} is archived. Restore it first.")


class Stale(Exception):
    """Someone saved in between: `latest` is their version. Nothing was stored."""

    def __init__(self, latest: Any) -> None:
        super().__init__(f"{latest.author} saved version {latest.number} meanwhile.")
        self.latest = latest


class Shared(models.Model):
    """A chat, a prompt, an example set, a grid. People may say what they think of an archived one (comments, stars,
    votes), and stop what it has under way; nothing else about it changes."""

    version = models.PositiveIntegerField(
        default=1
    )  # grows with every change, so that a page knows whether it is stale
    archived_at = models.DateTimeField(null=True, blank=True)

    if TYPE_CHECKING:
        team_id: UUID | int

    class Meta:
        abstract = True

    def held(self) -> Self:
        """The row, locked until the transaction ends: changes take turns. Raises Archived."""
        held = type(self)._default_manager.select_for_update().get(pk=self.pk)
        if held.archived_at:
            raise Archived(held)
        return held

    def change(self, **fields: Any) -> None:
        """Write these fields and no others, raise the version and tell the team."""
        type(self)._default_manager.filter(pk=self.pk).update(version=F("version") + 1, **fields)
        self.refresh_from_db(fields=["version", *fields])
        self._tell()

    def change_held(self, **fields: Any) -> None:
        """The same for a row that this transaction holds, whose version nobody else can have raised: without reading it
        back, so what the database works out, such as the time, is not here afterwards."""
        self.version += 1
        type(self)._default_manager.filter(pk=self.pk).update(version=self.version, **fields)
        self._tell()

    def _tell(self) -> None:
        kind = str(self._meta.model_name)
        notices.changed(self.team_id, HEARD.get(kind, kind), self.pk, self.version)

    def archive(self, by: User, *, undo: bool = False) -> None:
        """Put it away, or take it back out (IntegrityError if its name was taken since). Nothing is lost either way."""
        with transaction.atomic():
            self.change(archived_at=None if undo else Now())
            Activity.record(self.team_id, by, "restored" if undo else "archived", self)


class Versioned(Shared):
    """One that says what it says in numbered versions."""

    latest = models.PositiveIntegerField(default=0)  # number of the newest version

    if TYPE_CHECKING:
        versions: Any

    class Meta:
        abstract = True

    def held(self, based_on: int | None = None) -> Self:
        """`based_on` is the version that the author saw (None: whatever is newest). Raises Stale and Archived."""
        held = super().held()
        if based_on is not None and based_on != held.latest:
            raise Stale(held.versions.select_related("author").get(number=held.latest))
        return held
