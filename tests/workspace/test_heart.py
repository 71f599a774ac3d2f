"""One heart for all tabs of a web process: few queries, nobody waits for a slow reader, and an outage removes nobody."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from tests.conftest import joined
from tests.workspace.test_consumer import Tab as Page
from workspace import heart, presence
from workspace.heart import Heart, Standing
from workspace.models import Role, Team, User

pytestmark = pytest.mark.django_db(transaction=True)


class Tab:
    """What the heart sees of a socket. A `slow` one does not take what it is told."""

    def __init__(self, slow: bool = False, marks: list[presence.Mark] | None = None) -> None:
        self.slow, self.where = slow, marks or []
        self.beats: list[bool] = []
        self.people: dict[str, list[str]] = {}
        self.beaten = asyncio.Event()

    def marks(self) -> list[presence.Mark]:
        return self.where

    async def beat(self, stands: bool, people: dict[str, list[str]]) -> None:
        self.beats.append(stands)
        self.people = people
        self.beaten.set()
        if self.slow:
            await asyncio.Event().wait()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heart, "PULSE", 0.1)


async def beaten(*tabs: Tab, times: int = 1) -> None:
    async with asyncio.timeout(5):
        for tab in tabs:
            while len(tab.beats) < times:
                tab.beaten.clear()
                await tab.beaten.wait()


async def part(own: Heart, *tabs: Tab) -> None:
    for tab in tabs:
        await own.leave(tab)


async def test_each_tab_hears_whether_its_person_still_belongs(quick: None, team: Team, alice: User, bob: User) -> None:
    hers, his, own = Tab(), Tab(), Heart()
    own.join(hers, Standing(None, alice.pk, team.pk))
    own.join(his, Standing(None, bob.pk, team.pk))
    await beaten(hers, his)
    await sync_to_async(team.memberships.filter(user=bob).delete)()
    await beaten(hers, his, times=len(his.beats) + 2)
    await part(own, hers, his)
    assert (hers.beats[0], his.beats[0]) == (True, True)
    assert (hers.beats[-1], his.beats[-1]) == (True, False)


async def test_a_member_of_one_team_does_not_stand_in_another_of_the_same_beat(
    team: Team, alice: User, other_team: Team, charlie: User
) -> None:
    ours, theirs = Standing(None, alice.pk, team.pk), Standing(None, charlie.pk, other_team.pk)
    crossed = Standing(None, alice.pk, other_team.pk)
    assert await heart._standing({ours, theirs, crossed}) == {ours, theirs}


async def test_a_session_that_is_gone_does_not_stand(team: Team, alice: User) -> None:
    assert await heart._standing({Standing("no-such-session", alice.pk, team.pk)}) == set()


def test_a_hundred_tabs_cost_as_many_queries_as_one(team: Team, alice: User) -> None:
    def asked(standings: set[Standing]) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert heart._good(standings) == standings
        return len(queries)

    people = [joined(team, f"p{number}@example.com", Role.EDITOR) for number in range(100)]
    many = {Standing(None, person.pk, team.pk) for person in people}
    assert asked({Standing(None, alice.pk, team.pk)}) == asked(many) <= 2


async def test_nobody_waits_for_a_slow_reader(quick: None, team: Team, alice: User) -> None:
    slow, tab, own = Tab(slow=True), Tab(), Heart()
    for each in (slow, tab):
        own.join(each, Standing(None, alice.pk, team.pk))
    await beaten(tab, times=3)
    assert len(slow.beats) == 1, "it is told again once it has taken the last beat"
    await part(own, slow, tab)


async def test_an_outage_of_the_database_removes_nobody(
    quick: None, team: Team, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(standings: set[Standing]) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr(heart, "_standing", away)
    tab, own = Tab(), Heart()
    own.join(tab, Standing(None, alice.pk, team.pk))
    await beaten(tab, times=2)
    await part(own, tab)
    assert set(tab.beats) == {True}


async def test_a_beat_that_fails_does_not_stop_the_heart(
    quick: None, team: Team, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([ValueError("unforeseen")])
    stay = presence.stay

    async def once(marks: Any) -> dict[str, list[str]]:
        for failure in failures:
            raise failure
        return await stay(marks)

    monkeypatch.setattr(presence, "stay", once)
    tab, own = Tab(), Heart()
    own.join(tab, Standing(None, alice.pk, team.pk))
    await beaten(tab)
    await part(own, tab)


async def test_a_beat_renews_where_each_tab_is_and_brings_who_else_is_there(
    quick: None, team: Team, alice: User, bob: User
) -> None:
    place = f"{team.pk}:page:prompts"
    await presence.mark(place, str(bob.pk), "elsewhere")
    tab, own = Tab(marks=[(place, str(alice.pk), "here")]), Heart()
    own.join(tab, Standing(None, alice.pk, team.pk))
    await beaten(tab)
    await part(own, tab)
    assert tab.people == {place: sorted([str(alice.pk), str(bob.pk)])}
    assert await presence.people(place) == tab.people[place]


async def test_a_persons_second_tab_sees_who_is_there_and_is_no_news_to_the_team(
    team: Team, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    tell = presence.tell

    async def count(group: str, event: dict[str, Any]) -> None:
        told.append(event["object"])
        await tell(group, event)

    monkeypatch.setattr(presence, "tell", count)
    async with Page(bob, team.slug) as his, Page(alice, team.slug) as hers, Page(alice, team.slug) as again:
        await his.say(type="subscribe", to="page:prompts")
        await his.hear("presence", object="page:prompts")
        await hers.say(type="subscribe", to="page:prompts")
        both = await his.hear("presence", object="page:prompts")
        assert {person["id"] for person in both["people"]} == {str(alice.pk), str(bob.pk)}
        await again.say(type="subscribe", to="page:prompts")
        assert (await again.hear("presence", object="page:prompts"))["people"] == both["people"]
        await again.say(type="unsubscribe", to="page:prompts")
        await again.say(type="subscribe", to=f"chat:{UUID(int=1)}")
        await again.hear("error")  # so it has left the page
        assert len(told) == 2, "one of him, one of her"
        await hers.say(type="unsubscribe", to="page:prompts")
        left = await his.hear("presence", object="page:prompts")
        assert [person["id"] for person in left["people"]] == [str(bob.pk)]
