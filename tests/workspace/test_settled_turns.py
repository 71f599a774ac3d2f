"""A turn that is settled is drawn once for each reader, and whatever changes is seen at once all the same."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from tests.workspace.conftest import answer, comment_on, team_url
from workspace.models import Feedback, Membership, Role
from workspace.templatetags import kept

pytestmark = pytest.mark.django_db
DRAWN = "workspace/_turn.html"


@pytest.fixture
def reply(chat, bob):
    return answer(chat.send(bob, "What is a lamp?", parent=None, client_id=uuid4().hex), "A light.")


def thread(client, chat):
    return client.get(team_url("chat_thread", chat.team, chat_id=chat.pk))


def drawn(response):
    return sum(template.name == DRAWN for template in response.templates)


def test_what_was_drawn_for_a_reader_is_not_drawn_again(as_alice, chat, reply, alice):
    first, second = thread(as_alice, chat), thread(as_alice, chat)
    assert (drawn(first), drawn(second)) == (2, 0)
    token = re.compile(r'(name="csrfmiddlewaretoken" value=)"\w+"')
    assert token.sub(r"\1", second.text) == token.sub(r"\1", first.text)
    answer(chat.send(alice, "And a torch?", parent=reply.pk, client_id=uuid4().hex), "A light to carry.")
    third = thread(as_alice, chat)
    assert drawn(third) == 2 and "A light to carry." in third.text


def test_an_answer_that_is_being_written_is_drawn_each_time(as_alice, chat, alice, infer_worker):
    chat.send(alice, "Hello", parent=None, client_id=uuid4().hex)
    assert drawn(thread(as_alice, chat)) == 2
    assert drawn(thread(as_alice, chat)) == 1  # the question is settled


def test_each_reader_gets_their_own(as_alice, as_bob, as_dana, chat, reply):
    for _ in range(2):
        assert "<b>You</b>" in thread(as_bob, chat).text and "<b>You</b>" not in thread(as_alice, chat).text
        assert 'data-act="again"' in thread(as_bob, chat).text and 'data-act="again"' not in thread(as_dana, chat).text


def test_a_role_a_name_an_opinion_a_comment_and_an_alternative_count_at_once(
    as_alice, as_bob, team, chat, reply, alice, bob
):
    assert 'data-act="edit"' in thread(as_bob, chat).text
    Membership.objects.filter(team=team, user=bob).update(role=Role.VIEWER)
    assert 'data-act="edit"' not in thread(as_bob, chat).text

    thread(as_alice, chat)
    bob.name = "Robert"
    bob.save()
    assert "<b>Robert</b>" in thread(as_alice, chat).text

    Feedback.give(reply.generation, bob, thumb=1)
    assert 'title="Good: Robert"' in thread(as_alice, chat).text
    Feedback.give(reply.generation, bob, thumb=None)
    assert 'title="Good: Robert"' not in thread(as_alice, chat).text

    comment_on(as_alice, team, "message", reply, "Is it?")
    assert 'aria-label="Comments: 1 open"' in thread(as_alice, chat).text

    answer(chat.send(alice, "Once more", parent=None, client_id=uuid4().hex), "Again.")
    before = as_alice.get(team_url("chat_thread", team, chat_id=chat.pk), {"at": reply.pk}).text
    assert 'aria-label="Alternative 1 of 2"' in before
    assert 'aria-label="Alternative 2 of 2"' in thread(as_alice, chat).text


def test_its_forms_hold_the_token_of_whoever_looks_now(chat, reply, alice):
    """Also after signing in again, when the one it was drawn with is no longer good."""
    url = reverse("feedback", kwargs={"team": chat.team.slug, "generation_id": reply.generation_id})
    for _ in range(2):
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(alice)
        page = thread(strict, chat)
        token = re.search(rf'action="{url}".*?name="csrfmiddlewaretoken" value="(\w+)"', page.text, re.S)
        assert strict.post(url, {"thumb": "1", "csrfmiddlewaretoken": token[1]}).status_code < 400
        assert strict.post(url, {"thumb": "1", "csrfmiddlewaretoken": "x" * 64}).status_code == 403
        Feedback.objects.all().delete()


def test_memory_is_bounded_and_the_longest_unused_gives_way(monkeypatch):
    drawings = kept.Drawn()
    monkeypatch.setattr(kept, "KEPT_BYTES", 5000)
    for number in range(4):
        drawings.keep(number, ["é" * 1000])
        drawings.get(0)
    drawings.keep(4, ["é" * 1000])
    assert drawings.size <= 5000 and drawings.get(1) is None and drawings.get(0)
