"""A conversation: what is said, what is asked of the model, branches, limits."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from jobs.models import Generation, State
from tests.stack import prepared_models
from tests.workspace.conftest import answer, make_adapter
from workspace.chats import Refused, request_messages, title_from, turns_to_drop
from workspace.models import Chat

pytestmark = pytest.mark.django_db


def cid() -> str:
    return uuid4().hex


def said(chat: Chat, at=None) -> list[str]:
    return [turn.message.content for turn in chat.path(at)]


def test_a_message_is_kept_and_a_reply_is_queued_with_it(chat, alice):
    reply = chat.send(alice, "  What is a lighthouse?  ", parent=None, client_id=cid())

    assert reply.parent.text == "What is a lighthouse?" and reply.parent.author == alice
    assert reply.generation.state == State.QUEUED
    assert reply.generation.messages == [{"role": "user", "content": "What is a lighthouse?"}]
    chat.refresh_from_db()
    assert chat.title == "What is a lighthouse?"


def test_every_change_raises_the_version_so_that_a_page_knows_it_is_stale(chat, alice):
    before = chat.version
    chat.send(alice, "Hello", parent=None, client_id=cid())
    chat.refresh_from_db()
    assert chat.version > before


def test_the_same_client_id_says_it_once(chat, alice):
    once = cid()
    first = chat.send(alice, "Hello", parent=None, client_id=once)
    assert chat.send(alice, "Hello", parent=None, client_id=once) == first
    again = cid()
    second = chat.regenerate(alice, first.parent_id, client_id=again)
    assert chat.regenerate(alice, first.parent_id, client_id=again) == second
    assert Generation.objects.count() == 2


def test_a_question_takes_the_same_few_queries_however_long_the_talk(chat, alice, django_assert_num_queries):
    def ask(text: str, after):
        return chat.send(alice, text, parent=after.pk, client_id=cid())

    reply = answer(chat.send(alice, "One", parent=None, client_id=cid()), "Uno")
    with django_assert_num_queries(7 + 2):  # held, known, line, what came with it, three writes; a savepoint's two
        reply = ask("Two", reply)
    assert reply.generation.messages[-1]["content"] == "Two"
    for number in range(5):
        reply = ask(f"And {number}", answer(reply, "Y"))
    answer(reply, "Y")
    with django_assert_num_queries(7 + 2):
        ask("The last", reply)


def test_the_whole_branch_and_the_system_prompt_are_asked(chat, alice):
    chat.change(system="Be brief.", params={"temperature": 0.0})
    first = answer(chat.send(alice, "One", parent=None, client_id=cid()), "Uno")
    second = chat.send(alice, "Two", parent=first.pk, client_id=cid())

    assert second.generation.params == {"temperature": 0.0}
    assert second.generation.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Uno"},
        {"role": "user", "content": "Two"},
    ]


def test_an_edited_message_is_a_branch_and_the_old_one_stays(chat, alice):
    first = answer(chat.send(alice, "One", parent=None, client_id=cid()), "Uno")
    edited = answer(chat.send(alice, "Three", parent=first.parent.parent_id, client_id=cid()), "Tres")

    assert said(chat) == ["Three", "Tres"], "the latest branch is shown"
    assert said(chat, first.pk) == ["One", "Uno"], "the arrows lead back"
    turn = chat.path()[0]
    assert (turn.number, turn.count, turn.previous, turn.following) == (2, 2, first.parent_id, None)
    assert edited.generation.messages == [{"role": "user", "content": "Three"}]


def test_regenerate_puts_another_reply_beside_the_first(chat, alice):
    first = answer(chat.send(alice, "One", parent=None, client_id=cid()), "Uno")
    second = answer(chat.regenerate(alice, first.parent_id, client_id=cid()), "Eins")
    assert said(chat) == ["One", "Eins"]
    assert [turn.count for turn in chat.path()] == [1, 2]
    assert second.generation.messages == first.generation.messages


def test_choosing_an_older_alternative_leads_to_the_end_of_its_own_branch(chat, alice):
    first = answer(chat.send(alice, "One", parent=None, client_id=cid()), "Uno")
    deep = answer(chat.send(alice, "More", parent=first.pk, client_id=cid()), "Mas")
    answer(chat.regenerate(alice, first.parent_id, client_id=cid()), "Eins")
    assert said(chat, first.pk) == ["One", "Uno", "More", deep.content]


def test_a_reply_that_broke_off_is_continued_from_its_words(chat, alice):
    broken = answer(
        chat.send(alice, "Count", parent=None, client_id=cid()), "one, two", state=State.FAILED, cause="lost"
    )
    more = chat.continue_(alice, broken.pk, client_id=cid())

    assert more.generation.prefill == "one, two"
    assert more.parent_id == broken.parent_id
    assert more.content == "one, two", "what is there already is shown while the rest comes"


def test_a_reply_that_came_to_nothing_leaves_the_questions_joined(chat, alice):
    empty = answer(chat.send(alice, "One", parent=None, client_id=cid()), "", state=State.FAILED, cause="error")
    second = chat.send(alice, "Two", parent=empty.pk, client_id=cid())
    assert second.generation.messages == [{"role": "user", "content": "One\n\nTwo"}]


def test_what_cannot_be_stored_is_left_out_of_a_message(chat, alice):
    """A program that cuts an emoji in two sends half a character, which JSON carries and PostgreSQL does not keep."""
    reply = chat.send(alice, "Hello \ud83d\x00\r\nyou", parent=None, client_id=cid())
    assert reply.generation.messages == [{"role": "user", "content": "Hello \nyou"}]


@pytest.mark.parametrize("text", ["", "   \n\t "])
def test_an_empty_message_is_refused(chat, alice, text):
    with pytest.raises(Refused, match="Write something first"):
        chat.send(alice, text, parent=None, client_id=cid())


def test_too_long_a_message_is_refused_with_its_length_and_the_limit(chat, alice):
    with pytest.raises(Refused, match=r"200,000 characters; at most 100,000"):
        chat.send(alice, "x" * 200_000, parent=None, client_id=cid())
    assert not chat.messages.exists()


def test_nothing_is_sent_while_the_answer_above_is_being_written(chat, alice):
    reply = chat.send(alice, "One", parent=None, client_id=cid())
    with pytest.raises(Refused, match="still being written"):
        chat.send(alice, "Two", parent=reply.pk, client_id=cid())


def test_an_archived_chat_takes_no_messages_until_it_is_restored(chat, alice):
    chat.archive(chat.author)
    with pytest.raises(Refused, match="archived"):
        chat.send(alice, "One", parent=None, client_id=cid())
    chat.archive(chat.author, undo=True)
    chat.send(alice, "One", parent=None, client_id=cid())


def test_a_model_that_is_gone_is_named_and_nothing_is_stored(chat, alice, base):
    base.enabled = False
    base.save()
    with pytest.raises(Refused, match="Small is no longer available"):
        chat.send(alice, "One", parent=None, client_id=cid())
    assert not chat.messages.exists()


def test_an_archived_adapter_is_named(chat, alice, team, base):
    chat.change(adapter=make_adapter(team, base, archived_at=timezone.now()))
    with pytest.raises(Refused, match="French strings is archived"):
        chat.send(alice, "One", parent=None, client_id=cid())


def test_a_message_of_another_chat_is_no_parent(chat, alice, team, base):
    other = Chat.objects.create(team=team, author=alice, model=base)
    foreign = answer(other.send(alice, "One", parent=None, client_id=cid()), "Uno")
    with pytest.raises(Refused, match="not in this chat"):
        chat.send(alice, "Two", parent=foreign.pk, client_id=cid())


def test_dropping_the_oldest_turns_makes_room_and_later_questions_go_on_without_them(chat, alice, base, settings):
    settings.STUDIO_MODELS = prepared_models()
    base.context_length = 700
    base.save()
    first = answer(chat.send(alice, "lighthouse " * 300, parent=None, client_id=cid()), "Yes.")
    second = answer(
        chat.send(alice, "keeper " * 300, parent=first.pk, client_id=cid()),
        "",
        state=State.FAILED,
        finish_reason="context_overflow",
    )

    retried = answer(chat.regenerate(alice, second.parent_id, client_id=cid(), drop=True), "Better.")
    assert [turn["content"][:6] for turn in retried.generation.messages] == ["keeper"]
    later = chat.send(alice, "And now?", parent=retried.pk, client_id=cid())
    assert [turn["content"][:6] for turn in later.generation.messages] == ["keeper", "Better", "And no"]
    assert said(chat)[0].startswith("lighthouse"), "nothing is deleted from the conversation"


def test_when_only_the_last_message_is_left_dropping_says_so(chat, alice):
    reply = answer(
        chat.send(alice, "Long", parent=None, client_id=cid()), "", state=State.FAILED, finish_reason="context_overflow"
    )
    with pytest.raises(Refused, match="too long by itself"):
        chat.regenerate(alice, reply.parent_id, client_id=cid(), drop=True)


def test_a_pair_asks_the_base_and_the_adapter_and_is_listed_once(alice, adapter):
    left = Chat.start_pair(alice, adapter)
    assert left.adapter is None and left.beside.adapter == adapter and left.model == left.beside.model
    assert list(Chat.objects.listed()) == [left]


def test_search_finds_titles_questions_and_answers(chat, alice):
    answer(chat.send(alice, "Tell me of lighthouses", parent=None, client_id=cid()), "They shine over the Baltic.")
    for words in ("lighthouses", "baltic", "TELL ME"):
        assert list(Chat.objects.search(words)) == [chat]
    assert not Chat.objects.search("desert").exists()


def test_a_title_is_the_start_of_the_first_line_cut_between_words():
    assert title_from("# Hello\nmore") == "Hello"
    assert title_from("\n\n  - one two") == "one two"
    long = title_from("word " * 40)
    assert len(long) <= 60 and long.endswith("word…")
    assert len(title_from("x" * 200)) <= 60


def test_request_messages_start_with_a_question_and_take_turns():
    turns = [
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "A"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "B"},
    ]
    assert request_messages(" ", turns) == [{"role": "user", "content": "A\n\nB"}]


def test_turns_to_drop_never_drops_the_last_question():
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant", "user", "assistant", "user")]
    assert turns_to_drop(turns, 1, len, 3) == 2
    assert turns_to_drop(turns, 1, len, 1) == 4
    assert turns_to_drop(turns, 1, len, 0) == 4
