"""Who is where: people on the same chat or grid see each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.workspace.tabs import Tab, stored
from workspace import presence
from workspace.models import Grid

pytestmark = pytest.mark.django_db(transaction=True)


async def test_people_in_a_chat_see_each_other_come_write_and_go(alice, bob, team, chat):
    thing = f"chat:{chat.pk}"
    async with Tab(alice, team.slug) as hers:
        await hers.say(type="subscribe", to=thing)
        assert [person["name"] for person in (await hers.hear("presence"))["people"]] == ["Alice"]
        async with Tab(bob, team.slug) as his:
            await his.say(type="subscribe", to=thing)
            people = (await hers.hear("presence"))["people"]
            assert {person["initials"] for person in people} == {"A", "B"}
            await his.say(type="typing", chat=str(chat.pk))
            assert (await hers.hear("typing"))["name"] == "Bob"
        assert [person["name"] for person in (await hers.hear("presence"))["people"]] == ["Alice"]


async def test_people_looking_at_a_grid_see_each_other(alice, bob, team):
    grid = await stored(Grid.objects.create)(team=team, author=alice, name="Words")
    async with Tab(alice, team.slug) as hers, Tab(bob, team.slug) as his:
        await hers.say(type="subscribe", to=f"grid:{grid.pk}")
        await hers.hear("presence")
        await his.say(type="subscribe", to=f"grid:{grid.pk}")
        assert {person["name"] for person in (await hers.hear("presence"))["people"]} == {"Alice", "Bob"}


async def test_a_crowd_that_comes_at_once_is_told_of_a_few_times_and_of_the_last_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[int] = []
    come = 0

    async def tell(group: str, event: dict[str, Any]) -> None:
        told.append(come)

    monkeypatch.setattr(presence, "tell", tell)
    monkeypatch.setattr(presence, "PAUSE", 0.01)
    for _ in range(40):
        come += 1
        await presence.tell_who("team", "chat:1")
    await asyncio.gather(*presence._telling)
    assert told[0] == 1 and told[-1] == 40 and len(told) < 10
    await presence.tell_who("team", "chat:1")
    assert len(told) < 11 and told[-1] == 40
    await asyncio.gather(*presence._telling)
