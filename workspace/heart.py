"""The heartbeat of a web process: one task that beats for all of its open tabs, in a few queries each time.

Every PULSE each tab's session and membership are looked at again, its marks of presence are renewed, and it hears a beat.
500 idle tabs, each with a task and its own three queries, took 10 % of a core; asked about together, a tenth of the tabs
at a time, they take 1.3 % (bench/idle_sockets.py). It does not know what a tab shows or does.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import weakref
from collections.abc import Iterable
from functools import partial
from itertools import cycle
from typing import Any, NamedTuple, Protocol

from channels.db import database_sync_to_async
from django.contrib.sessions.models import Session
from django.db import DatabaseError

from workspace import presence
from workspace.models import Membership

log = logging.getLogger(__name__)

PULSE = 10.0  # seconds between two beats of a tab
PARTS = 10  # the tabs are asked about in turns, so that no beat has to wait for thousands of others


class Standing(NamedTuple):
    """By what a tab is open. `session` is None where there was none to come with."""

    session: str | None
    person: Any
    team: Any


class Tab(Protocol):
    def marks(self) -> list[presence.Mark]:
        """Where it is."""

    async def beat(self, stands: bool, people: dict[str, list[str]]) -> None:
        """Say so to its reader. `stands`: the person is still signed in, active and in the team; `people` are those at
        the places of its marks, as far as that is known."""


class Heart:
    """One per event loop; it beats while there are tabs."""

    _hearts: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Heart] = weakref.WeakKeyDictionary()

    def __init__(self) -> None:
        self._parts: list[dict[Tab, Standing]] = [{} for _ in range(PARTS)]
        self._task: asyncio.Task[None] | None = None
        self._beating: dict[Tab, asyncio.Task[None]] = {}

    @classmethod
    def current(cls) -> Heart:
        loop = asyncio.get_running_loop()
        if loop not in cls._hearts:
            cls._hearts[loop] = cls()
        return cls._hearts[loop]

    def join(self, tab: Tab, by: Standing) -> None:
        min(self._parts, key=len)[tab] = by
        if self._task is None or self._task.done():
            # outside the context of the request that happens to start it, which it outlives
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    async def leave(self, tab: Tab) -> None:
        for part in self._parts:
            part.pop(tab, None)
        if task := self._beating.pop(tab, None):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if not any(self._parts) and self._task:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        for part in cycle(self._parts):
            await asyncio.sleep(PULSE / PARTS)
            try:
                await self._beat(dict(part))
            except Exception:  # the task's outermost frame: a heart that stops makes thousands of tabs look dead
                log.exception("A beat failed; the heart goes on")

    async def _beat(self, tabs: dict[Tab, Standing]) -> None:
        try:
            standing = await _standing(set(tabs.values())) if tabs else set()
        except DatabaseError as error:  # an outage removes nobody
            log.warning("Standings cannot be read (%s); every tab stays.", error)
            standing = set(tabs.values())
        people = await presence.stay(mark for tab, by in tabs.items() if by in standing for mark in tab.marks())
        for tab, by in tabs.items():
            if tab not in self._beating:  # else its reader is slow, and nobody waits for it
                task = asyncio.create_task(tab.beat(by in standing, people))
                self._beating[tab] = task
                task.add_done_callback(partial(self._beaten, tab))

    def _beaten(self, tab: Tab, task: asyncio.Task[None]) -> None:
        self._beating.pop(tab, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("A tab could not be told that it is alive", exc_info=error)


def _good(standings: Iterable[Standing]) -> set[Standing]:
    """Those by which a tab may stay open."""
    keys = {by.session for by in standings if by.session}
    signed_in = set(Session.objects.filter(session_key__in=keys).values_list("session_key", flat=True))
    people, teams = {by.person for by in standings}, {by.team for by in standings}
    there = Membership.objects.filter(user__in=people, team__in=teams, user__is_active=True)
    members = set(there.values_list("user_id", "team_id"))
    return {
        by for by in standings if (by.session is None or by.session in signed_in) and (by.person, by.team) in members
    }


_standing = database_sync_to_async(_good, thread_sensitive=False)
