"""What people think of an answer: thumbs, reasons, corrections beside the original, and turns that go on from them."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs import notices
from tests.conftest import browser, joined
from tests.workspace.conftest import answer
from workspace.models import Feedback, Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def reply(chat, alice):
    return answer(chat.send(alice, "Capital of France?", parent=None, client_id=uuid4().hex), "It is Lyon, of course.")


@pytest.fixture
def as_eve(team):
    """An annotator: rates, and does not chat."""
    return browser(joined(team, "eve@example.com", Role.ANNOTATOR))


def door(team, reply, name="feedback"):
    return reverse(name, kwargs={"team": team.slug, "generation_id": reply.generation_id})


def opinions(reply, user):
    return Feedback.objects.opinions([reply.generation_id], user)[reply.generation_id]


def test_an_annotator_rates_and_the_thumb_can_be_turned_and_taken_back(as_eve, team, reply, alice):
    as_eve.post(door(team, reply), {"thumb": "1"})
    assert opinions(reply, alice).good == ["Eve"]
    as_eve.post(door(team, reply), {"thumb": "-1"})
    assert (opinions(reply, alice).good, opinions(reply, alice).bad) == ([], ["Eve"])
    as_eve.post(door(team, reply), {"thumb": ""})
    assert not Feedback.objects.exists(), "an opinion that says nothing is none"


def test_others_thumbs_are_counted_and_named(as_alice, as_bob, as_dana, team, reply, chat):
    as_alice.post(door(team, reply), {"thumb": "1"})
    as_bob.post(door(team, reply), {"thumb": "1"})
    page = as_dana.get(reverse("chat_thread", kwargs={"team": team.slug, "chat_id": chat.pk})).text
    assert "Good: Bob, Alice" in page and "<span>2</span>" in page
    assert as_dana.post(door(team, reply), {"thumb": "1"}).status_code == 403, "a viewer reads them"


def test_one_row_for_each_person_and_answer(as_bob, team, reply, bob):
    for _ in range(2):
        as_bob.post(door(team, reply), {"thumb": "-1"})
    row = Feedback.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        Feedback.objects.create(generation_id=reply.generation_id, user=bob)
    assert row.thumb == -1


def test_reasons_and_a_note_are_kept_and_leave_the_thumb_as_it_was(as_bob, as_alice, team, reply):
    as_bob.post(door(team, reply), {"thumb": "-1"})
    as_bob.post(door(team, reply), {"reasons": ["made_up", "wrong"], "note": "It is Paris."})
    row = Feedback.objects.get()
    assert (row.thumb, row.reasons, row.note) == (-1, ["wrong", "made_up"], "It is Paris.")
    page = as_alice.get(door(team, reply)).text
    assert "Not correct" in page and "Made something up" in page and "Bob: “It is Paris.”" in page
    as_bob.post(door(team, reply), {"note": ""})
    assert Feedback.objects.get().reasons == [], "all boxes can be cleared"


def test_reasons_fit_the_thumb_and_leave_with_it(as_bob, team, reply):
    page = as_bob.post(door(team, reply), {"thumb": "1"}, headers={"X-Fragment": "1"}).content.decode()
    assert "To the point" in page and "Made something up" not in page
    as_bob.post(door(team, reply), {"reasons": ["concise"]})
    assert Feedback.objects.get().reasons == ["concise"]
    page = as_bob.post(door(team, reply), {"thumb": "-1"}, headers={"X-Fragment": "1"}).content.decode()
    assert "Made something up" in page and "To the point" not in page
    assert Feedback.objects.get().reasons == []


def test_a_correction_stands_beside_the_original_with_its_author_and_the_words_that_changed(
    as_bob, as_alice, team, reply
):
    as_bob.post(door(team, reply), {"correction": "It is Paris, of course."})
    reply.generation.refresh_from_db()
    assert reply.generation.text == "It is Lyon, of course.", "the original is as it was"
    row = Feedback.objects.get()
    page = as_alice.get(door(team, reply)).text
    assert "Corrected by <b>Bob</b>" in page and "It is Paris, of course." in page
    changes = as_alice.get(door(team, reply), {"changes": row.pk}).text
    assert "It is <del>Lyon</del><ins>Paris</ins>, of course." in changes


def test_a_correction_is_text_and_never_markup(as_bob, team, reply):
    as_bob.post(door(team, reply), {"correction": "<script>x</script>"})
    page = as_bob.get(door(team, reply)).text
    assert "<script>x" not in page and "&lt;script&gt;x" in page


def test_a_correction_can_be_taken_back_and_the_original_is_no_correction(as_bob, team, reply):
    as_bob.post(door(team, reply), {"correction": "It is Paris."})
    as_bob.post(door(team, reply), {"correction": ""})
    assert not Feedback.objects.exists()
    as_bob.post(door(team, reply), {"correction": "It is Lyon, of course.\r\n"})
    assert not Feedback.objects.exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"thumb": "5"}, "up, down or taken back"),
        ({"reasons": ["no_such"]}, "no reason no_such"),
        ({"note": "x" * 2001}, "2,001 characters; at most 2,000"),
        ({"correction": "x" * 100_001}, "100,001 characters; at most 100,000"),
    ],
)
def test_what_cannot_be_kept_says_why_and_changes_nothing(as_bob, team, reply, data, says):
    as_bob.post(door(team, reply), {"thumb": "1"})
    response = as_bob.post(door(team, reply), data)
    assert response.status_code == 422
    row = Feedback.objects.get()
    assert (row.thumb, row.reasons, row.note, row.correction) == (1, [], "", "")
    if "thumb" not in data:
        assert says in response.text
    if "correction" in data:
        assert "x" * 100_001 in response.text, "what was typed is still in the box"


def test_an_answer_that_is_being_written_is_not_corrected_yet(as_bob, team, chat, alice):
    running = chat.send(alice, "Hello", parent=None, client_id=uuid4().hex)
    response = as_bob.post(door(team, running), {"correction": "Bye"})
    assert response.status_code == 422 and "still being written" in response.text


def test_everyone_looking_at_the_answer_hears_of_it(as_bob, team, reply, monkeypatch):
    told = []
    monkeypatch.setattr(notices, "changed", lambda team_id, kind, key, version=0: told.append((kind, key)))
    as_bob.post(door(team, reply), {"thumb": "1"})
    assert ("generation", reply.generation_id) in told


def test_later_turns_read_the_correction_only_where_someone_says_so(as_bob, bob, team, chat, reply):
    as_bob.post(door(team, reply), {"correction": "It is Paris."})
    plain = answer(chat.send(bob, "Thanks", parent=reply.pk, client_id=uuid4().hex), "You are welcome.")
    assert plain.generation.messages[1]["content"] == "It is Lyon, of course."

    row = Feedback.objects.get()
    as_bob.post(door(team, reply, "feedback_use"), {"correction": row.pk})
    corrected = chat.send(bob, "Thanks", parent=reply.pk, client_id=uuid4().hex)
    assert corrected.generation.messages[1]["content"] == "It is Paris."

    as_bob.post(door(team, reply, "feedback_use"), {})
    again = chat.regenerate(bob, corrected.parent_id, client_id=uuid4().hex)
    assert again.generation.messages[1]["content"] == "It is Lyon, of course."


def test_a_correction_that_is_taken_back_no_longer_stands_in(as_bob, bob, team, chat, reply):
    as_bob.post(door(team, reply), {"thumb": "-1", "correction": "It is Paris."})
    as_bob.post(door(team, reply, "feedback_use"), {"correction": Feedback.objects.get().pk})
    as_bob.post(door(team, reply), {"correction": ""})
    reply.refresh_from_db()
    assert reply.stand_in is None
    later = chat.send(bob, "Thanks", parent=reply.pk, client_id=uuid4().hex)
    assert later.generation.messages[1]["content"] == "It is Lyon, of course."


def test_a_correction_of_another_answer_does_not_stand_in(as_bob, bob, team, chat, reply):
    other = answer(chat.regenerate(bob, reply.parent_id, client_id=uuid4().hex), "Nice.")
    as_bob.post(door(team, other), {"correction": "Paris."})
    for key in (Feedback.objects.get().pk, "x", "9" * 30):
        assert as_bob.post(door(team, reply, "feedback_use"), {"correction": key}).status_code == 404


def test_nobody_outside_the_team_sees_or_rates(as_charlie, team, other_team, reply):
    for where in (team, other_team):
        for name in ("feedback", "feedback_use"):
            assert as_charlie.post(door(where, reply, name), {"thumb": "1"}).status_code == 404
        assert as_charlie.get(door(where, reply)).status_code == 404


def test_without_script_the_form_leads_back_to_where_it_was(as_bob, team, reply, chat):
    page = f"http://testserver{chat.get_absolute_url()}"
    assert as_bob.post(door(team, reply), {"thumb": "1"}, headers={"Referer": page})["Location"] == page
    elsewhere = as_bob.post(door(team, reply), {"thumb": "1"}, headers={"Referer": "https://evil.example/"})
    assert elsewhere["Location"] == team.get_absolute_url()


def test_two_hundred_turns_cost_as_many_queries_as_two(as_bob, alice, bob, team, chat, reply):
    Feedback.give(reply.generation, bob, thumb=1, correction="Paris.")
    thread = reverse("chat_thread", kwargs={"team": team.slug, "chat_id": chat.pk})
    with CaptureQueriesContext(
        connection,
    ) as few:
        as_bob.get(thread)
    at = reply
    for number in range(99):
        at = answer(chat.send(alice, f"And {number}?", parent=at.pk, client_id=uuid4().hex), "Yes.")
        Feedback.give(at.generation, alice, thumb=-1, reasons=["tone"], correction="No.")
    with CaptureQueriesContext(connection) as many:
        page = as_bob.get(thread)
    assert len(page.context["turns"]) == 200
    assert len(many) == len(few)
