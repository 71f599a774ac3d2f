"""A chat costs as many queries with forty turns as with two, a data set as many with 300 rows as with 3."""

from __future__ import annotations

from uuid import uuid4

import pytest

from jobs.models import Dataset, Row
from tests.workspace.conftest import answer, team_url
from tests.workspace.test_prompt_query_counts import queries
from workspace.models import Chat

pytestmark = pytest.mark.django_db
MOST = 16


def talk(chat, author, turns):
    parent = None
    for number in range(turns // 2):
        reply = chat.send(author, f"Question {number}", parent=parent and parent.pk, client_id=uuid4().hex)
        parent = answer(reply, f"Answer {number}")


def test_a_chat(as_alice, team, alice, bob, base, infer_worker):
    counts = []
    for turns in (2, 40):
        chat = Chat.objects.create(team=team, author=bob, model=base, title=f"{turns} turns")
        talk(chat, bob, turns)
        counts += [
            queries(as_alice, chat.get_absolute_url()),
            queries(as_alice, team_url("chat_thread", team, chat_id=chat.pk)),
        ]
        Chat.objects.bulk_create(Chat(team=team, author=bob, model=base) for _ in range(20))
    assert counts[:2] == counts[2:] and max(counts) <= MOST


def test_a_data_set_and_a_window_of_its_rows(as_alice, team, alice):
    counts = []
    for size in (3, 300):
        found = Dataset.objects.create(team=team, author=alice, name=f"{size} rows", counts={"train": size})
        said = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day"}]
        Row.objects.bulk_create(Row(dataset=found, position=at, split="train", messages=said) for at in range(size))
        page = team_url("dataset", team, dataset_id=found.pk)
        counts += [queries(as_alice, page), queries(as_alice, f"{page}rows/?from=2")]
    assert counts[:2] == counts[2:] and max(counts) <= MOST
