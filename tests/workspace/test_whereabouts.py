"""Who is where: people on the same chat or grid see each other."""

from __future__ import annotations

import pytest

from tests.workspace.tabs import Tab, stored
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
