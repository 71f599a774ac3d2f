"""A reader of a reply sees all of it, once, in order: whenever it joins, whatever it missed, and if Redis forgets."""

import asyncio
import hashlib
import random
from contextlib import aclosing
from copy import copy

import pytest
import redis
from channels.db import database_sync_to_async
from django.conf import settings

from jobs.models import Generation, LanguageModel, State
from jobs.tokenlog import Done, Piece, Snapshot, TokenLog, follow, key_of, reader
from workspace.models import Team, User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def generation():
    alice = User.objects.create_user("alice@example.com", "correct horse battery")
    model = LanguageModel.objects.create(key="toy", name="Toy")
    generation = Generation.ask(
        team=Team.found("Acme", alice), author=alice, purpose="chat", model=model, adapter=None, messages=[], params={}
    )
    return Generation.objects.filter(pk=generation.pk).claim("infer@test:1")[0]


class Worker:
    """Writes a reply as the infer worker does."""

    def __init__(self, generation):
        self.generation, self.log = generation, TokenLog()

    def say(self, *words):
        for word in words:
            self.log.append(self.generation, word)

    def save(self):
        self.generation.beat(text=self.generation.text, sequence_number=self.generation.sequence_number)

    def end(self, state=State.SUCCEEDED, **fields):
        digest = hashlib.sha256(self.generation.text.encode()).hexdigest()
        text, number = self.generation.text, self.generation.sequence_number
        self.generation.finish(state, text=text, sequence_number=number, text_sha256=digest, **fields)
        self.log.close(self.generation)


@pytest.fixture
def worker(generation):
    return Worker(generation)


@pytest.fixture
def valkey():
    return redis.Redis.from_url(settings.REDIS_URL)


class Screen:
    """What a reader shows; it fails on any gap, duplicate, or word after the end."""

    def __init__(self, text="", number=0):
        self.text, self.number, self.done, self.snapshots = text, number, None, 0

    def show(self, event):
        assert self.done is None, "nothing comes after the end"
        match event:
            case Snapshot(number, text):
                assert number >= self.number or not self.text
                self.text, self.number, self.snapshots = text, number, self.snapshots + 1
            case Piece(number, delta):
                assert number == self.number + 1, f"piece {number} after {self.number}"
                self.text, self.number = self.text + delta, number
            case Done():
                self.done = event
                assert hashlib.sha256(self.text.encode()).hexdigest() == event.text_sha256

    async def watch(self, generation, *, until=None):
        """Follow from where this screen stands, to the end or until `until` is on it."""
        async with asyncio.timeout(10), aclosing(follow(generation.pk, self.number)) as events:
            async for event in events:
                self.show(event)
                if until is not None and self.number >= until:
                    return self
        return self


async def in_thread(function, *args, **kwargs):
    return await database_sync_to_async(function, thread_sensitive=False)(*args, **kwargs)


async def test_a_reader_from_the_start_sees_every_piece_and_the_end(worker):
    screen = Screen()
    watching = asyncio.create_task(screen.watch(worker.generation))
    for word in ("Good ", "morning", " — ", "naïve 🙂"):
        await in_thread(worker.say, word)
        await asyncio.sleep(0)
    await in_thread(worker.end, prompt_tokens=3, completion_tokens=4, finish_reason="stop")
    await watching
    assert screen.text == "Good morning — naïve 🙂"
    assert (screen.done.state, screen.done.finish_reason, screen.done.completion_tokens) == ("succeeded", "stop", 4)


async def test_the_first_event_is_a_snapshot_even_of_nothing(worker):
    async with aclosing(follow(worker.generation.pk)) as events:
        assert await anext(events) == Snapshot(0, "")


async def test_a_late_joiner_gets_all_so_far_at_once_and_then_lives_on(worker):
    await in_thread(worker.say, "a", "b")
    await in_thread(worker.save)
    await in_thread(worker.say, "c", "d")
    async with aclosing(follow(worker.generation.pk)) as events:
        assert await anext(events) == Snapshot(4, "abcd")
        await in_thread(worker.say, "e")
        assert await anext(events) == Piece(5, "e")


async def test_after_the_end_the_row_answers(worker):
    await in_thread(worker.say, "all of it")
    await in_thread(worker.end)
    screen = await Screen().watch(worker.generation)
    assert (screen.text, screen.snapshots) == ("all of it", 1)


async def test_a_reader_that_has_it_all_is_only_told_that_it_ended(worker):
    await in_thread(worker.say, "all of it")
    await in_thread(worker.end)
    screen = await Screen("all of it", 1).watch(worker.generation)
    assert screen.snapshots == 0 and screen.done


@pytest.mark.parametrize("seed", range(8))
async def test_cut_at_any_points_it_reads_on_without_gap_or_duplicate(worker, seed):
    """Three readers that lose their connection at random moments, while the reply is being written."""
    dice = random.Random(seed)
    words = [dice.choice(["lorem ", "ipsum ", "Ünïcödé ", "\n", "漢字 "]) for _ in range(60)]

    async def write():
        for word in words:
            await in_thread(worker.say, word)
            if dice.random() < 0.2:
                await in_thread(worker.save)
            if dice.random() < 0.3:
                await asyncio.sleep(dice.random() / 100)
        await in_thread(worker.end)

    async def read(screen):
        while not screen.done:
            await screen.watch(worker.generation, until=screen.number + dice.randint(1, 15))
        return screen

    screens = [Screen() for _ in range(3)]
    await asyncio.gather(write(), *(read(screen) for screen in screens))
    assert {screen.text for screen in screens} == {"".join(words)}


async def test_redis_forgets_the_log_in_mid_stream_and_nobody_notices(worker, valkey):
    screen = Screen()
    watching = asyncio.create_task(screen.watch(worker.generation))
    await in_thread(worker.say, "one ", "two ")
    await in_thread(valkey.flushall)
    await in_thread(worker.say, "three ")
    await in_thread(worker.save)
    await in_thread(worker.say, "four")
    await in_thread(worker.end)
    assert (await watching).text == "one two three four"


async def test_pieces_that_never_reached_the_log_come_with_the_next_snapshot(worker):
    screen = Screen()
    watching = asyncio.create_task(screen.watch(worker.generation))
    await in_thread(worker.say, "one ")
    worker.generation.text += "two three "
    worker.generation.sequence_number += 2
    await in_thread(worker.save)
    await in_thread(worker.say, "four")
    await in_thread(worker.end)
    assert (await watching).text == "one two three four"


async def test_a_log_lost_before_the_snapshot_is_waited_for(worker, valkey):
    """The row is behind what the log lost: the reader waits for the row instead of leaving a hole."""
    await in_thread(worker.say, "one ", "two ")
    await in_thread(valkey.flushall)
    await in_thread(worker.say, "three")
    screen = Screen()
    watching = asyncio.create_task(screen.watch(worker.generation, until=3))
    await asyncio.sleep(0.3)
    assert screen.text == ""
    await in_thread(worker.save)
    assert (await watching).text == "one two three"


async def test_the_end_is_seen_even_if_nobody_could_write_it_to_the_log(worker):
    screen = Screen()
    watching = asyncio.create_task(screen.watch(worker.generation))
    await in_thread(worker.generation.request_cancel)
    await in_thread(worker.generation.finish, State.CANCELLED, text_sha256=hashlib.sha256(b"").hexdigest())
    assert (await watching).done.state == "cancelled"


async def test_without_redis_the_row_carries_the_reply(worker, settings):
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"
    away = Worker(worker.generation)
    screen = Screen()
    watching = asyncio.create_task(screen.watch(worker.generation))
    await in_thread(away.say, "through ", "the ")
    await in_thread(away.save)
    await in_thread(away.say, "database")
    await in_thread(away.end)
    assert (await watching).text == "through the database"


async def test_a_reader_too_slow_to_drink_it_all_jumps_to_a_snapshot(worker, monkeypatch):
    monkeypatch.setattr(reader, "BUFFER", 4)
    async with asyncio.timeout(10), aclosing(follow(worker.generation.pk)) as events:
        screen = Screen()
        screen.show(await anext(events))
        quick = asyncio.create_task(Screen().watch(worker.generation, until=30))
        for number in range(30):
            await in_thread(worker.say, f"{number} ")
        await quick  # another reader has had them all, so they have all been handed out
        await in_thread(worker.end)
        async for event in events:
            screen.show(event)
    assert screen.text == "".join(f"{number} " for number in range(30))
    assert screen.snapshots > 1


async def test_one_task_reads_for_many_and_none_when_nobody_follows(worker):
    hub = reader.Hub.current()
    screens = [asyncio.create_task(Screen().watch(worker.generation, until=1)) for _ in range(20)]
    async with asyncio.timeout(5):
        while len(hub._tasks) < 2 or len(hub.feeds[worker.generation.pk].readers) < 20:
            await asyncio.sleep(0.01)
    assert len(hub.feeds) == 1 and len(hub._tasks) == 2
    await in_thread(worker.say, "hello")
    await asyncio.gather(*screens)
    assert not hub.feeds and not hub._tasks


async def test_a_late_write_of_a_worker_thought_dead_does_not_follow_the_end(worker):
    await in_thread(worker.say, "one")
    await in_thread(worker.end)
    await in_thread(worker.say, " two")
    assert (await Screen().watch(worker.generation)).text == "one"


async def test_what_was_told_while_nobody_could_hear_is_read_from_the_log(worker, valkey):
    """A message on the channel is lost: the next one shows the gap, and the log fills it."""
    async with asyncio.timeout(10), aclosing(follow(worker.generation.pk)) as events:
        assert await anext(events) == Snapshot(0, "")
        await in_thread(worker.say, "one ")
        assert await anext(events) == Piece(1, "one ")
        worker.generation.sequence_number, worker.generation.text = 2, "one two "
        key, entry = key_of(worker.generation.pk), f"{worker.generation.fence}-2"
        await in_thread(valkey.xadd, key, {"d": "two "}, id=entry)
        await in_thread(worker.say, "three")
        assert [await anext(events), await anext(events)] == [Piece(2, "two "), Piece(3, "three")]


async def test_who_leaves_as_the_hub_begins_to_hear_is_let_go(worker):
    hub = reader.Hub.current()

    async def listen():
        async with hub.reader(worker.generation.pk):
            await asyncio.Event().wait()

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    hub._hearing.set()
    listening.cancel()
    done, _ = await asyncio.wait([listening], timeout=3)
    listening.cancel()
    assert done


async def test_a_worker_that_was_given_up_is_not_heard_any_more(worker):
    async with asyncio.timeout(10), aclosing(follow(worker.generation.pk)) as events:
        assert await anext(events) == Snapshot(0, "")
        await in_thread(worker.say, "one ")
        assert await anext(events) == Piece(1, "one ")
        stale = Worker(copy(worker.generation))
        stale.generation.fence -= 1
        await in_thread(stale.say, "ghost ")
        await in_thread(worker.say, "two")
        assert await anext(events) == Piece(2, "two")


def test_what_the_log_has_beyond_the_row_can_be_saved(worker):
    worker.say("kept ")
    worker.save()
    worker.say("and ", "found")
    row = Generation.objects.get(pk=worker.generation.pk)
    assert TokenLog().unsaved(row) == ["and ", "found"]
