"""A line of the list of conversations is drawn once, and again for everything that changes what it says."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.workspace.conftest import make_adapter
from workspace.models import Chat

pytestmark = pytest.mark.django_db


@pytest.fixture
def chat(team, alice, base):
    return Chat.objects.create(team=team, author=alice, model=base, title="Lamps & <i>ropes</i>")


def line(client, team, chat):
    """What the list says of it, without the spaces."""
    page = client.get(reverse("chats", kwargs={"team": team.slug}), headers={"HX-Request": "true"}).text
    found = re.search(rf'<a class="chat-link" href="[^"]*{chat.pk}/".*?</a>', page, re.DOTALL)
    assert found
    return " ".join(found[0].split())


def test_a_line_names_the_chat_who_answers_when_and_whose_it_is(as_alice, as_bob, team, chat):
    mine, hers = line(as_alice, team, chat), line(as_bob, team, chat)
    assert "Lamps &amp; &lt;i&gt;ropes&lt;/i&gt;" in mine and "Small" in mine and ">now</time>" in mine
    assert "avatar" not in mine and 'title="Alice"' in hers


def test_the_drawing_follows_every_change(as_bob, alice, team, base, chat):
    seen = [line(as_bob, team, chat)]

    def changed(**fields):
        Chat.objects.filter(pk=chat.pk).update(**fields)
        seen.append(line(as_bob, team, chat))
        assert seen[-1] not in seen[:-1], fields
        return seen[-1]

    assert "Buoys" in changed(title="Buoys")
    adapter = make_adapter(team, base)
    assert str(adapter) in changed(adapter=adapter)
    assert "2 h" in changed(updated_at=timezone.now() - timedelta(hours=2))
    assert "Side by side" in changed(beside=Chat.objects.create(team=team, author=alice, model=base))
    alice.name = "Alice Lamp"
    alice.save()
    assert "Alice Lamp" in line(as_bob, team, chat)


def test_time_goes_on_in_a_line_that_stays_the_same(as_bob, team, chat, monkeypatch):
    assert ">now</time>" in line(as_bob, team, chat)
    later = timezone.now() + timedelta(minutes=5)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert ">5 min</time>" in line(as_bob, team, chat)


def test_the_open_chat_is_marked_in_the_list_and_no_other(as_bob, team, alice, base, chat):
    other = Chat.objects.create(team=team, author=alice, model=base)
    for one in (chat, other):
        page = as_bob.get(one.get_absolute_url()).text
        assert re.findall(r'<a class="chat-link" href="[^"]*/([0-9a-f-]{36})/" aria-current="page"', page) == [
            str(one.pk)
        ]
