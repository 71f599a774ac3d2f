"""The websocket: who may listen and act, what comes back, and what happens to those who leave."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.models import Session

from jobs import notices
from jobs.models import Generation, State
from llmstudio import asgi
from llmstudio.policy import SOCKET
from tests.conftest import browser
from tests.workspace.tabs import Tab, stored
from workspace import consumers, heart
from workspace.consumers import StudioConsumer
from workspace.models import Chat, Message, Role

pytestmark = pytest.mark.django_db(transaction=True)


async def code_of(user, slug):
    async with Tab(user, slug) as tab:
        return tab.code


def test_every_action_of_the_policy_has_a_handler_and_no_handler_is_without_a_row():
    handlers = {name.removeprefix("on_") for name in dir(StudioConsumer) if name.startswith("on_")}
    assert handlers == set(SOCKET)


async def test_a_member_is_greeted(alice, team):
    async with Tab(alice, team.slug) as tab:
        assert tab.hello["type"] == "hello" and tab.hello["user"]["id"] == str(alice.pk)


async def test_a_foreign_team_looks_like_a_missing_one(charlie, other_team, team):
    assert await code_of(charlie, team.slug) == await code_of(charlie, "no-such-team") == 4404


async def test_nobody_gets_in(team):
    assert await code_of(AnonymousUser(), team.slug) == 4401


async def cookie_of(user):
    client = await stored(browser)(user)
    return b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()


async def test_the_real_door_takes_a_session_and_refuses_other_origins(alice, team):
    cookie = await cookie_of(alice)
    async with Tab(None, team.slug, asgi.application, [cookie, (b"origin", b"http://127.0.0.1:8000")]) as tab:
        assert tab.hello["type"] == "hello"
    async with Tab(None, team.slug, asgi.application, [cookie, (b"origin", b"https://elsewhere.example")]) as tab:
        assert tab.first["type"] == "websocket.close"


async def test_a_message_is_stored_and_the_team_hears_that_the_chat_changed(alice, bob, team, chat):
    async with Tab(alice, team.slug) as hers, Tab(bob, team.slug) as his:
        await hers.say(type="send", chat=str(chat.pk), parent=None, text="Hello", client_id="a" * 16)
        created = await hers.hear("response.created", client_id="a" * 16)
        changed = await his.hear("changed", object=f"chat:{chat.pk}")
        reply = await stored(Message.objects.select_related("parent", "generation").get)(pk=created["message"])
        assert reply.parent.text == "Hello" and str(reply.generation.pk) == created["generation"]
        assert changed["version"] == (await stored(Chat.objects.get)(pk=chat.pk)).version


async def test_sent_twice_it_is_stored_once(alice, team, chat):
    async with Tab(alice, team.slug) as tab:
        for _ in range(2):
            await tab.say(type="send", chat=str(chat.pk), parent=None, text="Hello", client_id="a" * 16)
        first, second = await tab.hear("response.created"), await tab.hear("response.created")
        assert first == second
        assert await stored(Generation.objects.count)() == 1


async def test_a_viewer_reads_along_but_does_not_write(dana, team, chat, alice):
    reply = await stored(chat.send)(alice, "Hello", parent=None, client_id="a" * 16)
    async with Tab(dana, team.slug) as tab:
        await tab.say(type="subscribe", to=f"generation:{reply.generation_id}")
        assert (await tab.hear("snapshot"))["text"] == ""
        for frame in (
            {"type": "send", "chat": str(chat.pk), "text": "Hi", "client_id": "b" * 16},
            {"type": "stop", "generation": str(reply.generation_id)},
            {"type": "typing", "chat": str(chat.pk)},
        ):
            await tab.say(**frame)
            assert (await tab.hear("error"))["code"] == "forbidden"
        assert await stored(chat.messages.count)() == 2
        assert (await stored(Generation.objects.get)(pk=reply.generation_id)).cancel_requested_at is None


async def test_another_teams_objects_look_missing_and_give_nothing(charlie, other_team, alice, chat):
    reply = await stored(chat.send)(alice, "A secret", parent=None, client_id="a" * 16)
    generation = str(reply.generation_id)
    async with Tab(charlie, other_team.slug) as tab:
        for frame in (
            {"type": "subscribe", "to": f"chat:{chat.pk}"},
            {"type": "subscribe", "to": f"generation:{generation}"},
            {"type": "send", "chat": str(chat.pk), "text": "Hi", "client_id": "b" * 16},
            {"type": "stop", "generation": generation},
        ):
            await tab.say(**frame)
            assert (await tab.hear("error"))["code"] == "not_found"
        await stored(chat.change)(title="Still secret")
        assert await tab.line.receive_nothing(0.3)
    assert await stored(chat.messages.count)() == 2


async def test_stop_asks_the_worker_to_stop(alice, team, chat):
    reply = await stored(chat.send)(alice, "Hello", parent=None, client_id="a" * 16)
    async with Tab(alice, team.slug) as tab:
        await tab.say(type="subscribe", to=f"generation:{reply.generation_id}")
        await tab.say(type="stop", generation=str(reply.generation_id))
        assert (await tab.hear("response.completed"))["generation"] == str(reply.generation_id)
    assert (await stored(Generation.objects.get)(pk=reply.generation_id)).state == State.CANCELLED


async def test_whoever_is_removed_is_disconnected_at_once_and_may_do_nothing_more(alice, bob, team, chat):
    async with Tab(bob, team.slug) as tab:
        await stored(team.memberships.filter(user=bob).delete)()
        await stored(notices.changed)(team.pk, "member", bob.pk)
        assert await tab.closed() == 4403


async def test_without_the_notice_the_next_action_finds_out(bob, team, chat):
    async with Tab(bob, team.slug) as tab:
        await stored(team.memberships.filter(user=bob).delete)()
        await tab.say(type="send", chat=str(chat.pk), parent=None, text="Hi", client_id="b" * 16)
        assert await tab.closed() == 4403
    assert not await stored(chat.messages.exists)()


async def test_without_any_action_the_heartbeat_finds_out(bob, team, monkeypatch):
    monkeypatch.setattr(heart, "PULSE", 0.05)
    async with Tab(bob, team.slug) as tab:
        await tab.hear("beat")
        await stored(type(bob).objects.filter(pk=bob.pk).update)(is_active=False)
        assert await tab.closed() == 4403


async def test_signing_out_everywhere_closes_the_socket(alice, team, monkeypatch):
    monkeypatch.setattr(heart, "PULSE", 0.05)
    headers = [await cookie_of(alice), (b"origin", b"http://127.0.0.1:8000")]
    async with Tab(None, team.slug, asgi.application, headers) as tab:
        await stored(Session.objects.all().delete)()
        assert await tab.closed() == 4403


async def test_a_demotion_counts_from_the_next_action(bob, team, chat):
    async with Tab(bob, team.slug) as tab:
        await stored(team.memberships.filter(user=bob).update)(role=Role.VIEWER)
        await tab.say(type="send", chat=str(chat.pk), parent=None, text="Hi", client_id="b" * 16)
        assert (await tab.hear("error"))["code"] == "forbidden"


async def test_a_200_kB_message_is_answered_with_its_length_and_the_socket_stays(alice, team, chat):
    async with Tab(alice, team.slug) as tab:
        await tab.say(type="send", chat=str(chat.pk), parent=None, text="x" * 200_000, client_id="a" * 16)
        error = await tab.hear("error")
        assert error["code"] == "too_long" and "200,000" in error["message"] and error["client_id"] == "a" * 16
        await tab.say(type="send", chat=str(chat.pk), parent=None, text="x" * 400_000, client_id="b" * 16)
        assert (await tab.hear("error"))["code"] == "too_long"
        await tab.say(type="send", chat=str(chat.pk), parent=None, text="x", client_id="c" * 16)
        await tab.hear("response.created")


WRONG = [
    "no json",
    "[]",
    "1",
    "null",
    '{"v": 1}',
    '{"v": 2, "type": "send"}',
    '{"v": 1, "type": 7}',
    '{"v": 1, "type": "changed", "object": "chat:1"}',
    '{"v": 1, "type": "__init__"}',
    '{"v": 1, "type": "send"}',
    '{"v": 1, "type": "send", "chat": 5, "client_id": {}}',
    '{"v": 1, "type": "subscribe"}',
    '{"v": 1, "type": "subscribe", "to": 3}',
    '{"v": 1, "type": "subscribe", "to": "chat:"}',
    '{"v": 1, "type": "subscribe", "to": "user:00000000-0000-0000-0000-000000000000"}',
    '{"v": 1, "type": "subscribe", "to": "chat:00000000-0000-0000-0000-000000000000", "after": []}',
    '{"v": 1, "type": "subscribe", "to": ["chat:00000000-0000-0000-0000-000000000000"]}',
    '{"v": 1, "type": "subscribe", "to": ["generation:x"]}',
    '{"v": 1, "type": "subscribe", "to": [7]}',
    '{"v": 1, "type": "subscribe", "to": ["generation:00000000-0000-0000-0000-000000000000"], "after": 5}',
    '{"v": 1, "type": "stop", "generation": null}',
    '{"v": 1, "type": "typing"}',
    "[" * 50_000,
]


async def test_every_wrong_frame_gets_an_error_frame_and_the_socket_stays(alice, team):
    async with Tab(alice, team.slug) as tab:
        for text in WRONG:
            await tab.send(text)
            assert (await tab.hear("error"))["message"], text
        await tab.line.send_input({"type": "websocket.receive", "bytes": b"\x00\xff"})
        assert (await tab.hear("error"))["code"] == "bad_frame"


@pytest.mark.parametrize(
    "wrong", [{"client_id": "short"}, {"client_id": None}, {"parent": "x"}, {"parent": str(uuid4())}]
)
async def test_a_message_with_wrong_parts_is_refused_and_not_stored(alice, team, chat, wrong):
    async with Tab(alice, team.slug) as tab:
        frame = {"type": "send", "chat": str(chat.pk), "parent": None, "text": "Hi", "client_id": "a" * 16}
        await tab.say(**(frame | wrong))
        await tab.hear("error")
    assert not await stored(chat.messages.exists)()


async def test_a_socket_that_floods_is_slowed_down(alice, team):
    async with Tab(alice, team.slug) as tab:
        for _ in range(consumers.BURST + 20):
            await tab.say(type="unsubscribe", to="chat:x")
        assert (await tab.hear("error"))["code"] == "too_fast"


async def test_a_tab_follows_only_so_many_things(alice, team, chat, base, monkeypatch):
    monkeypatch.setattr(consumers, "MAX_SUBSCRIPTIONS", 1)
    other = await stored(Chat.objects.create)(team=team, author=alice, model=base)
    async with Tab(alice, team.slug) as tab:
        await tab.say(type="subscribe", to=f"chat:{chat.pk}")
        await tab.say(type="subscribe", to=f"chat:{other.pk}")
        assert (await tab.hear("error"))["code"] == "too_many"
