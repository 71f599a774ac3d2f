"""The chat worker dies, Redis forgets, somebody stops: whoever reads along sees the truth, soon, and loses no word."""

import hashlib
import signal
import time

import pytest
import redis
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection

from jobs.models import Generation, State
from jobs.tokenlog import Done, Piece, Snapshot, follow
from tests.faults.conftest import state_of, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

STORY = "Tell me a long story about a lighthouse, its keeper and the sea. Go on for many pages."


class Reader:
    def __init__(self):
        self.text, self.number, self.done = "", 0, None

    def read(self, generation, until=None, seconds=15.0):
        """Follow to the end, or until `until(self)`."""

        async def follow_along():
            import asyncio
            from contextlib import aclosing

            async with asyncio.timeout(seconds), aclosing(follow(generation.pk, self.number)) as events:
                async for event in events:
                    match event:
                        case Snapshot(number, text):
                            self.text, self.number = text, number
                        case Piece(number, delta):
                            assert number == self.number + 1
                            self.text, self.number = self.text + delta, number
                        case Done():
                            self.done = event
                    if until and until(self):
                        return

        async_to_sync(follow_along)()
        return self


def words(count):
    return lambda reader: len(reader.text.split()) >= count


def test_a_reply_is_streamed_stored_and_hashed(start, ask):
    start("infer")
    generation = ask("Who keeps a lighthouse?", max_tokens=24)
    reader = Reader().read(generation, seconds=30)
    assert state_of(generation) == State.SUCCEEDED
    assert len(reader.text.split()) > 5 and reader.text == generation.text
    assert generation.text_sha256 == hashlib.sha256(reader.text.encode()).hexdigest() == reader.done.text_sha256
    assert generation.prompt_tokens > 0 and 0 < generation.completion_tokens <= 24
    assert 0 < generation.first_token_ms <= generation.total_ms


def test_a_killed_worker_shows_within_15_seconds_and_every_word_shown_is_kept(start, ask):
    worker = start("infer")
    start("train")  # another worker, to sweep
    generation = ask(STORY, max_tokens=2000)
    reader = Reader().read(generation, until=words(20), seconds=30)
    worker.kill()
    killed_at = time.monotonic()
    reader.read(generation, seconds=15)
    assert time.monotonic() - killed_at < 15
    assert (reader.done.state, reader.done.cause) == ("failed", "lost")
    assert "continue" in reader.done.message
    generation.refresh_from_db()
    assert generation.text == reader.text and len(reader.text.split()) >= 20
    assert generation.text_sha256 == hashlib.sha256(reader.text.encode()).hexdigest()

    start("infer")
    more = ask(STORY, prefill=generation.text, max_tokens=8)
    assert Reader().read(more, seconds=30).text.startswith(generation.text)
    assert state_of(more) == State.SUCCEEDED and len(more.text) > len(generation.text)


def test_valkey_forgets_everything_in_mid_stream(start, ask):
    start("infer")
    generation = ask(STORY, max_tokens=150)
    reader = Reader().read(generation, until=words(10), seconds=30)
    redis.Redis.from_url(settings.REDIS_URL).flushall()
    late = ask("Say yes.", max_tokens=5)  # the doorbell's queue is gone too
    reader.read(generation, seconds=30)
    generation.refresh_from_db()
    assert reader.text == generation.text and reader.done.state == "succeeded"
    assert Reader().read(late, seconds=15).done.state == "succeeded"


def test_the_database_drops_every_connection_in_mid_stream(start, ask):
    start("infer")
    generation = ask(STORY, max_tokens=150)
    reader = Reader().read(generation, until=words(5), seconds=30)
    for count in (15, 25, 35):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        reader.read(generation, until=words(count), seconds=30)
    reader.read(generation, seconds=60)
    generation.refresh_from_db()
    assert reader.done.state == "succeeded" and reader.text == generation.text


def test_a_worker_that_wakes_up_after_it_was_given_up_changes_nothing(start, ask):
    worker = start("infer")
    start("train")  # another worker, to sweep
    generation = ask(STORY, max_tokens=2000)
    reader = Reader().read(generation, until=words(10), seconds=30)
    worker.process.send_signal(signal.SIGSTOP)
    reader.read(generation, seconds=15)
    ended = Generation.objects.values().get(pk=generation.pk)
    assert (ended["state"], ended["cause"], ended["text"]) == ("failed", "lost", reader.text)
    worker.process.send_signal(signal.SIGCONT)
    wait_for(lambda: "no longer held" in worker.log.read_text(), what="the worker to notice")
    assert Generation.objects.values().get(pk=generation.pk) == ended
    assert Reader().read(ask("Say yes.", max_tokens=5), seconds=15).done.state == "succeeded"


def test_a_stop_is_heard_at_once_and_the_prefix_stays(start, ask):
    start("infer")
    generation = ask(STORY, max_tokens=2000)
    reader = Reader().read(generation, until=words(10), seconds=30)
    generation.request_cancel()
    asked_at = time.monotonic()
    reader.read(generation, seconds=5)
    assert time.monotonic() - asked_at < 3
    assert (reader.done.state, reader.done.finish_reason) == ("cancelled", "cancelled")
    assert Generation.objects.get(pk=generation.pk).text == reader.text


def test_a_worker_that_is_asked_to_go_marks_what_it_could_not_finish(start, ask):
    worker = start("infer")
    generation = ask(STORY, max_tokens=2000)
    reader = Reader().read(generation, until=words(10), seconds=30)
    assert worker.stop() == 0
    reader.read(generation, seconds=5)
    assert (reader.done.state, reader.done.cause) == ("failed", "lost")
    assert state_of(generation) == State.FAILED and generation.text == reader.text


def test_what_cannot_be_answered_says_why(start, ask, smollm):
    start("infer")
    long = ask("word " * 9000)
    assert Reader().read(long, seconds=30).done.finish_reason == "context_overflow"
    assert state_of(long) == State.FAILED and long.cause == "bad_data" and "oldest turns" in long.message
    smollm.folder = "gone"
    smollm.pk, smollm.key = None, "gone"
    smollm.save()
    missing = ask("Hello")
    assert Reader().read(missing, seconds=15).done.cause == "model_missing"
    assert "missing" in wait_for(lambda: state_of(missing) == State.FAILED and missing.message)
