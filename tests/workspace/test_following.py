"""Replies told to a tab: one to its end, or many with one frame."""

from __future__ import annotations

import hashlib

import pytest

from jobs.models import Generation, State
from jobs.tokenlog import TokenLog
from tests.workspace.conftest import answer
from tests.workspace.tabs import Tab, stored
from workspace import consumers, frame_asks

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_reply_is_followed_to_its_end(alice, team, chat):
    reply = await stored(chat.send)(alice, "Hello", parent=None, client_id="a" * 16)
    async with Tab(alice, team.slug) as tab:
        await tab.say(type="subscribe", to=f"generation:{reply.generation_id}", after=0)
        await tab.hear("snapshot")
        await stored(answer)(reply, "Hi ", "there", ".", prompt_tokens=3, completion_tokens=2, finish_reason="stop")
        text, last = "", 0
        while (frame := await tab.hear_any())["type"] != "response.completed":
            if frame["type"] == "response.output_text.delta":
                assert frame["after"] == last, "each piece says which one it follows"
                text, last = text + frame["delta"], frame["sequence_number"]
        done = frame
        assert text == "Hi there."
        assert done["text_sha256"] == hashlib.sha256(text.encode()).hexdigest()
        assert done["usage"] == {"prompt_tokens": 3, "completion_tokens": 2} and done["finish_reason"] == "stop"


async def test_a_failed_reply_says_why(alice, team, chat):
    reply = await stored(chat.send)(alice, "Hello", parent=None, client_id="a" * 16)
    await stored(answer)(reply, "Hi th", state=State.FAILED, cause="lost", message="The chat worker was lost.")
    async with Tab(alice, team.slug) as tab:
        await tab.say(type="subscribe", to=f"generation:{reply.generation_id}")
        assert (await tab.hear("snapshot"))["text"] == "Hi th"
        assert (await tab.hear("response.failed"))["message"] == "The chat worker was lost."


def ask(team, author, model, count=1):
    mine = {"team": team, "author": author, "purpose": "cell", "model": model, "adapter": None}
    asked = [Generation.request(messages=[{"role": "user", "content": "Hi"}], params={}, **mine) for _ in range(count)]
    Generation.ask_all(asked)
    return [f"generation:{one.pk}" for one in asked]


def say_and_end(name, *pieces):
    log = TokenLog()
    [held] = Generation.objects.filter(pk=name.partition(":")[2]).claim("test")
    for piece in pieces:
        log.append(held, piece)
    held.finish(State.SUCCEEDED, text=held.text, sequence_number=held.sequence_number)
    log.close(held)


async def test_one_frame_follows_many_replies_and_each_is_told_to_its_end(alice, team, base):
    names = await stored(ask)(team, alice, base, 200)
    async with Tab(alice, team.slug) as tab:
        await tab.say(type="subscribe", to=names)
        heard = {(await tab.hear("snapshot"))["generation"] for _ in names}
        assert heard == {name.partition(":")[2] for name in names}
        await stored(say_and_end)(names[150], "Hel", "lo.")
        done = await tab.hear("response.completed")
        assert done["generation"] == names[150].partition(":")[2]


async def test_of_many_replies_each_goes_on_after_what_was_seen(alice, team, base):
    [seen, fresh] = await stored(ask)(team, alice, base, 2)
    for name in (seen, fresh):
        await stored(say_and_end)(name, "Hello.")
    async with Tab(alice, team.slug) as tab:
        await tab.say(type="subscribe", to=[seen, fresh], after={seen: 1})
        frames = [await tab.hear_any() for _ in range(3)]
        snapshots = [frame["generation"] for frame in frames if frame["type"] == "snapshot"]
        assert snapshots == [fresh.partition(":")[2]], "what was seen is not sent again"
        assert sum(frame["type"] == "response.completed" for frame in frames) == 2


async def test_another_teams_reply_among_many_is_not_followed_and_the_rest_are(alice, team, charlie, other_team, base):
    [theirs] = await stored(ask)(other_team, charlie, base)
    mine = await stored(ask)(team, alice, base, 2)
    async with Tab(alice, team.slug) as tab:
        await tab.say(type="subscribe", to=[mine[0], theirs, mine[1]])
        assert (await tab.hear("error", code="not_found"))["to"] == [theirs]
        await stored(say_and_end)(theirs, "A secret.")
        await stored(say_and_end)(mine[1], "Hello.")
        while (frame := await tab.hear_any())["type"] != "response.completed":
            assert frame.get("generation") != theirs.partition(":")[2]
        assert frame["generation"] == mine[1].partition(":")[2]
        assert await tab.line.receive_nothing(0.3)


async def test_many_replies_are_let_go_with_one_frame(alice, team, base):
    names = await stored(ask)(team, alice, base, 2)
    async with Tab(alice, team.slug) as tab:
        await tab.say(type="subscribe", to=names)
        for _ in names:
            await tab.hear("snapshot")
        await tab.say(type="unsubscribe", to=names)
        await tab.send("[]")
        await tab.hear("error")  # frames are taken in order, so the one before is done
        for name in names:
            await stored(say_and_end)(name, "Hello.")
        assert await tab.line.receive_nothing(0.5)


async def test_a_frame_names_and_a_tab_follows_only_so_many_replies(alice, team, base, monkeypatch):
    names = await stored(ask)(team, alice, base, 3)
    async with Tab(alice, team.slug) as tab:
        monkeypatch.setattr(frame_asks, "MAX_NAMED", 2)
        await tab.say(type="subscribe", to=names)
        assert (await tab.hear("error"))["code"] == "too_many"
        monkeypatch.setattr(consumers, "MAX_SUBSCRIPTIONS", 2)
        await tab.say(type="subscribe", to=names[:2])
        await tab.hear("snapshot")
        await tab.say(type="subscribe", to=names[1:])
        assert (await tab.hear("error"))["code"] == "too_many"
