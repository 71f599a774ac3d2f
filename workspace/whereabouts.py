"""Where one tab is, and who else is there: the objects and pages that it shows, and its room of the studio.

The marks themselves are in workspace/presence.py. It does not know who may see what: workspace/consumers.py has looked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from channels.db import database_sync_to_async

from jobs.notices import team_group
from workspace import presence
from workspace.models import Team, User


class Whereabouts:
    """Things by name, as in `"chat:…" in here`. `out` sends the tab a frame: its kind, and its fields by name."""

    def __init__(self, user: User, team: Team, socket: str, out: Callable[..., Awaitable[None]]) -> None:
        self.user, self.team, self.socket, self.out = user, team, socket, out
        self.room = ""
        self._shown: dict[str, list[str]] = {}  # where the tab is, with the people last shown there
        self._names: dict[str, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._shown)

    def __contains__(self, thing: str) -> bool:
        return thing in self._shown

    async def enter(self, thing: str) -> None:
        """The others hear of it unless they see this person there already, in another tab: a crowd of tabs that come
        back at once would else tell each other as often as there are pairs of them."""
        self._shown.setdefault(thing, [])
        known = self._who(thing) in await presence.people(self._place(thing))
        await self._mark(thing)
        if known:
            await self.show_people(thing)
        else:
            await self._tell(thing)

    async def be_in(self, kind: str, name: str) -> None:
        """On a page without an object, or in a room; a tab is in one room, and hears of all."""
        if kind == "room":
            self.room = name
        await self.enter("room" if kind == "room" else f"{kind}:{name}")

    def marks(self) -> list[presence.Mark]:
        """To be renewed for as long as the tab is open."""
        return [(self._place(thing), self._who(thing), self.socket) for thing in self._shown]

    async def see(self, people: dict[str, list[str]]) -> None:
        """Who is at which place: some may have come or gone unheard."""
        for thing in list(self._shown):
            if (here := people.get(self._place(thing))) is not None:
                await self._show(thing, here)

    async def leave(self, thing: str) -> None:
        if self._shown.pop(thing, None) is not None:
            await presence.leave(self._place(thing), self._who(thing), self.socket)
            if self._who(thing) not in await presence.people(self._place(thing)):
                await self._tell(thing)

    async def leave_all(self) -> None:
        for thing in list(self._shown):
            await self.leave(thing)

    async def show_people(self, thing: str) -> None:
        await self._show(thing, await presence.people(self._place(thing)))

    async def _show(self, thing: str, here: list[str]) -> None:
        """Send who is here, if that has changed."""
        if here == self._shown.get(thing, here):
            return
        self._shown[thing] = here
        marks = [(key, room) for key, _, room in (who.partition("|") for who in here)]
        if unknown := [key for key, _ in marks if key not in self._names]:
            self._names |= await database_sync_to_async(self._named, thread_sensitive=False)(unknown)
        people = [self._names[key] | ({"room": room} if room else {}) for key, room in marks if key in self._names]
        await self.out("presence", object=thing, people=people)

    def _named(self, keys: list[str]) -> dict[str, dict[str, Any]]:
        people = User.objects.filter(pk__in=keys, memberships__team=self.team)
        return {str(user.pk): {"id": str(user.pk), "name": str(user), "initials": user.initials} for user in people}

    def _place(self, thing: str) -> str:
        """Pages have one name in every team."""
        return f"{self.team.pk}:{thing}"

    def _who(self, thing: str) -> str:
        """The person, and of the whole team's rooms the one they are in."""
        return f"{self.user.pk}|{self.room}" if thing == "room" else str(self.user.pk)

    async def _mark(self, thing: str) -> None:
        await presence.mark(self._place(thing), self._who(thing), self.socket)

    async def _tell(self, thing: str) -> None:
        await presence.tell_who(team_group(self.team.pk), thing)
