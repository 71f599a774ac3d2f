"""A chat becomes a prompt or a few-shot set, along the branch that is looked at."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.workspace.conftest import answer, team_url
from workspace.models import Example, ExampleSet, Feedback, Prompt

pytestmark = pytest.mark.django_db


@pytest.fixture
def talk(chat, alice):
    """Two questions, two answers, a system prompt."""
    chat.change(system="Be kind.", title="Capitals")
    first = answer(chat.send(alice, "France?", parent=None, client_id=uuid4().hex), "Lyon")
    answer(chat.send(alice, "Spain?", parent=first.pk, client_id=uuid4().hex), "Madrid")
    return chat


def test_a_chat_turns_into_a_prompt_and_opens_it(as_bob, team, talk):
    form = as_bob.get(team_url("chat_to_prompt", team, chat_id=talk.pk)).text
    assert 'value="Capitals"' in form
    response = as_bob.post(team_url("chat_to_prompt", team, chat_id=talk.pk), {"name": "geo/capitals"})
    prompt = Prompt.objects.get()
    assert response.url == prompt.get_absolute_url() and prompt.name == "geo/capitals"
    assert prompt.newest.messages == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "France?"},
        {"role": "assistant", "content": "Lyon"},
        {"role": "user", "content": "Spain?"},
        {"role": "assistant", "content": "Madrid"},
    ]


def test_it_takes_the_branch_that_is_looked_at_and_corrections_that_stand_in(as_bob, bob, team, talk):
    first = talk.path()[1].message
    other = answer(talk.regenerate(bob, first.parent_id, client_id=uuid4().hex), "Nice")
    Feedback.give(other.generation, bob, correction="Paris")
    other.stand_in = Feedback.objects.get()
    other.save()
    as_bob.post(team_url("chat_to_prompt", team, chat_id=talk.pk), {"name": "a", "at": str(other.pk)})
    assert [message["content"] for message in Prompt.objects.get().newest.messages] == ["Be kind.", "France?", "Paris"]


@pytest.mark.parametrize("name", ["chat_to_prompt", "chat_to_examples"])
def test_a_name_that_is_taken_or_missing_is_said_and_nothing_is_made(
    as_bob, alice, team, talk, prompt, example_set, name
):
    for taken, says in ((prompt.name, "already"), (example_set.name, "already"), ("  ", "name")):
        if (taken == prompt.name) == (name == "chat_to_examples") and taken.strip():
            continue
        response = as_bob.post(team_url(name, team, chat_id=talk.pk), {"name": taken})
        assert response.status_code == 422 and says in response.text
    assert Prompt.objects.count() == ExampleSet.objects.count() == 1


def test_an_empty_chat_turns_into_nothing(as_bob, team, chat):
    for name in ("chat_to_prompt", "chat_to_examples"):
        response = as_bob.post(team_url(name, team, chat_id=chat.pk), {"name": "a"})
        assert response.status_code == 422 and "Nothing" in response.text


def test_a_chat_turns_into_a_set_of_examples_with_the_corrected_texts(as_bob, bob, team, talk):
    lyon = talk.path()[1].message
    Feedback.give(lyon.generation, bob, correction="Paris")
    response = as_bob.post(team_url("chat_to_examples", team, chat_id=talk.pk), {"name": "Capitals"})
    found = ExampleSet.objects.get()
    assert response.url == found.get_absolute_url()
    rows = found.newest.ordered()
    assert [(row.input, row.output) for row in rows] == [("France?", "Paris"), ("Spain?", "Madrid")]
    assert {row.source_kind for row in rows} == {Example.Source.MESSAGE} and rows[0].source_id == str(lyon.pk)
    assert found.latest == 2, "all examples at once: one version after the empty start"


def test_a_link_to_a_message_opens_its_branch(as_bob, bob, team, talk):
    first = talk.path()[1].message
    answer(talk.regenerate(bob, first.parent_id, client_id=uuid4().hex), "Nice")
    page = as_bob.get(first.get_absolute_url())
    assert f'id="turn-{first.pk}"' in page.text
