"""The pages around a conversation: start, read, settings, archive, export, side by side."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.urls import reverse

from jobs.models import State
from tests.workspace.conftest import answer, make_adapter
from workspace.models import Chat

pytestmark = pytest.mark.django_db


def to(name, team, **kwargs):
    return reverse(name, kwargs={"team": team.slug, **kwargs})


@pytest.fixture
def talk(chat, alice):
    """One question, one answer."""
    answer(
        chat.send(alice, "What is a <b>lamp</b>?", parent=None, client_id=uuid4().hex),
        "A **light**, <script>x</script>.",
    )
    chat.refresh_from_db()
    return chat


def listed(client, team, **query):
    """The ids of the conversations in the list."""
    page = client.get(to("chats", team), query, headers={"HX-Request": "true"})
    return {line.pk for line, _ in page.context["listed"]}


def start(client, team, base, **fields):
    data = {"answers": f"model:{base.pk}", "text": "Hello there", "chat": str(uuid4()), **fields}
    return client.post(to("chat_new", team), data)


def test_the_first_message_starts_a_chat(as_bob, bob, team, base):
    response = start(as_bob, team, base)
    chat = Chat.objects.get()
    assert response.url == chat.get_absolute_url()
    assert chat.author == bob and chat.title == "Hello there" and chat.messages.count() == 2


def test_the_form_sent_twice_starts_one_chat(as_bob, team, base):
    key = str(uuid4())
    first, second = (start(as_bob, team, base, chat=key) for _ in range(2))
    assert first.url == second.url and Chat.objects.count() == 1


@pytest.mark.parametrize(("text", "says"), [("  ", "Write something first"), ("x" * 200_000, "200,000 characters")])
def test_what_cannot_be_sent_comes_back_with_the_reason_and_the_words(as_bob, team, base, text, says):
    response = start(as_bob, team, base, text=text)
    assert response.status_code == 422
    assert says in response.text and text.strip() in response.text
    assert not Chat.objects.exists()


def test_a_model_of_another_team_cannot_be_chosen(as_bob, team, base, other_team):
    base.team = other_team
    base.save()
    assert start(as_bob, team, base).status_code == 422
    theirs = make_adapter(other_team, base)
    assert start(as_bob, team, base, answers=f"adapter:{theirs.pk}").status_code == 422
    assert not Chat.objects.exists()


def test_without_a_model_the_page_says_what_to_do(as_alice, team):
    assert "No model yet" in as_alice.get(to("chats", team)).text


def test_a_viewer_reads_and_is_offered_nothing_to_write(as_dana, team, talk):
    page = as_dana.get(talk.get_absolute_url())
    assert page.status_code == 200
    assert "chat-composer" not in page.text and 'data-act="again"' not in page.text
    for name in ("chat_settings", "chat_archive"):
        assert as_dana.post(to(name, team, chat_id=talk.pk)).status_code == 403
    assert as_dana.post(to("chat_new", team)).status_code == 403


def test_another_teams_chat_is_not_there(as_charlie, team, other_team, talk):
    for name in ("chat", "chat_thread", "chat_export"):
        assert as_charlie.get(to(name, other_team, chat_id=talk.pk)).status_code == 404
        assert as_charlie.get(to(name, team, chat_id=talk.pk)).status_code == 404
    for name in ("chat_settings", "chat_archive"):
        assert as_charlie.post(to(name, other_team, chat_id=talk.pk)).status_code == 404


def test_what_was_said_is_in_the_page_as_text_and_never_as_markup(as_alice, team, talk):
    page = as_alice.get(to("chat_thread", team, chat_id=talk.pk)).text
    assert "What is a &lt;b&gt;lamp&lt;/b&gt;?" in page
    assert "A **light**, &lt;script&gt;x&lt;/script&gt;." in page


def test_a_queued_reply_says_when_no_worker_is_there_to_answer(as_alice, team, chat, alice):
    chat.send(alice, "Hello", parent=None, client_id=uuid4().hex)
    assert "No chat worker is running" in as_alice.get(to("chat_thread", team, chat_id=chat.pk)).text


def test_with_a_worker_there_it_waits_quietly(as_alice, team, chat, alice, infer_worker):
    chat.send(alice, "Hello", parent=None, client_id=uuid4().hex)
    page = as_alice.get(to("chat_thread", team, chat_id=chat.pk)).text
    assert "No chat worker" not in page and "Waiting for its turn" in page


def test_a_reply_that_broke_off_shows_why_and_offers_to_continue(as_alice, team, chat, alice):
    reply = chat.send(alice, "Hello", parent=None, client_id=uuid4().hex)
    answer(reply, "One, two", state=State.FAILED, cause="lost", message="The chat worker was lost.")
    page = as_alice.get(to("chat_thread", team, chat_id=chat.pk)).text
    assert "One, two" in page and "The chat worker was lost." in page and 'data-act="continue"' in page


def test_too_long_a_conversation_offers_to_drop_the_oldest_turns(as_alice, team, chat, alice):
    reply = chat.send(alice, "Hello", parent=None, client_id=uuid4().hex)
    answer(reply, state=State.FAILED, cause="bad_data", message="Too long.", finish_reason="context_overflow")
    assert 'data-act="drop"' in as_alice.get(to("chat_thread", team, chat_id=chat.pk)).text


def settings_of(page):
    return page.context["form"]


def test_settings_hold_for_the_next_answer(as_bob, bob, team, chat, adapter):
    form = settings_of(as_bob.get(to("chat_thread", team, chat_id=chat.pk)))
    data = {form.add_prefix(name): "" for name in form.fields} | {
        form.add_prefix("answers"): f"adapter:{adapter.pk}",
        form.add_prefix("system"): "Be brief.",
        form.add_prefix("temperature"): "0,2",
        form.add_prefix("max_tokens"): "1,000",
        form.add_prefix("stop"): "END\n\nSTOP",
    }
    assert as_bob.post(to("chat_settings", team, chat_id=chat.pk), data).url == chat.get_absolute_url()

    chat.refresh_from_db()
    assert (chat.adapter, chat.system) == (adapter, "Be brief.")
    assert chat.params == {"temperature": 0.2, "max_tokens": 1000, "stop": ["END", "STOP"]}
    chat.send(bob, "Hello", parent=None, client_id=uuid4().hex)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "3"),
        ("temperature", "hot"),
        ("max_tokens", "1.5"),
        ("seed", "-1"),
        ("answers", "model:0"),
        ("temperature", "nan"),
    ],
)
def test_a_wrong_setting_comes_back_with_its_error_and_changes_nothing(as_bob, team, chat, base, name, value):
    form = settings_of(as_bob.get(to("chat_thread", team, chat_id=chat.pk)))
    data = {
        form.add_prefix("answers"): f"model:{base.pk}",
        form.add_prefix("system"): "kept",
        form.add_prefix(name): value,
    }
    page = as_bob.post(to("chat_settings", team, chat_id=chat.pk), data)
    assert list(settings_of(page).errors) == [name]
    chat.refresh_from_db()
    assert chat.params == {} and chat.system == ""


def test_a_chat_can_be_renamed(as_bob, team, chat):
    as_bob.post(to("chat_settings", team, chat_id=chat.pk), {"title": "  Lamps "})
    chat.refresh_from_db()
    assert chat.title == "Lamps"


def test_archived_is_out_of_the_list_and_can_be_restored(as_bob, team, talk):
    as_bob.post(to("chat_archive", team, chat_id=talk.pk))
    assert talk.pk not in listed(as_bob, team)
    assert talk.pk in listed(as_bob, team, archived=1)
    assert "chat-composer" not in as_bob.get(talk.get_absolute_url()).text

    as_bob.post(to("chat_archive", team, chat_id=talk.pk), {"undo": 1})
    assert talk.pk in listed(as_bob, team)


def test_the_list_is_searched_and_narrowed(as_bob, bob, team, talk, base):
    mine = Chat.objects.create(team=team, author=bob, model=base, title="Buoys")

    assert listed(as_bob, team) == {talk.pk, mine.pk}
    assert listed(as_bob, team, who="me") == {mine.pk}
    assert listed(as_bob, team, q="light") == {talk.pk}
    assert listed(as_bob, team, q="nowhere") == set()


def test_export_as_markdown_and_json(as_dana, team, talk):
    talk.change(system="Be kind.")
    markdown = as_dana.get(to("chat_export", team, chat_id=talk.pk), {"format": "md"})
    assert markdown["Content-Disposition"].startswith("attachment") and markdown["Content-Disposition"].endswith('.md"')
    assert "What is a <b>lamp</b>?" in markdown.text and "A **light**, <script>x</script>." in markdown.text

    whole = json.loads(as_dana.get(to("chat_export", team, chat_id=talk.pk), {"format": "json"}).content)
    assert whole["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "What is a <b>lamp</b>?"},
        {"role": "assistant", "content": "A **light**, <script>x</script>."},
    ]


def test_export_takes_the_branch_that_is_looked_at(as_alice, alice, team, talk):
    first = talk.path()[1].message
    answer(talk.regenerate(alice, first.parent_id, client_id=uuid4().hex), "Another.")
    chosen = as_alice.get(to("chat_export", team, chat_id=talk.pk), {"format": "json", "at": str(first.pk)})
    assert json.loads(chosen.content)["messages"][-1]["content"] == "A **light**, <script>x</script>."


def test_chat_with_an_adapter_opens_it_beside_its_base(as_bob, team, adapter):
    response = as_bob.post(to("chat_with_adapter", team), {"adapter": str(adapter.pk)})
    left = Chat.objects.listed().get()
    assert response.url == left.get_absolute_url()
    page = as_bob.get(response.url)
    assert page.text.count("<chat-thread") == 2
    assert as_bob.get(left.beside.get_absolute_url()).url == response.url, "the right half is reached through the left"


@pytest.mark.parametrize("wrong", ["", "x", "00000000-0000-4000-8000-000000000000"])
def test_no_such_adapter_is_a_404(as_bob, team, wrong):
    assert as_bob.post(to("chat_with_adapter", team), {"adapter": wrong}).status_code == 404


@pytest.mark.parametrize("at", ["x", "1"])
def test_a_malformed_position_is_a_404_and_an_unknown_one_shows_the_latest(as_bob, team, talk, at):
    assert as_bob.get(to("chat_thread", team, chat_id=talk.pk), {"at": at}).status_code == 404
    assert as_bob.get(to("chat_export", team, chat_id=talk.pk), {"at": at}).status_code == 404
    shown = as_bob.get(to("chat_thread", team, chat_id=talk.pk), {"at": str(uuid4())})
    assert len(shown.context["turns"]) == 2


def test_a_page_of_history_costs_a_handful_of_queries_however_long_it_is(
    as_bob, alice, team, talk, django_assert_max_num_queries
):
    at = talk.path()[-1].message.pk
    for number in range(10):
        at = answer(talk.send(alice, f"Again {number}", parent=at, client_id=uuid4().hex), "Yes.").pk
    with django_assert_max_num_queries(14):
        assert len(as_bob.get(to("chat_thread", team, chat_id=talk.pk)).context["turns"]) == 22
