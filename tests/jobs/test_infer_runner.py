"""The chat worker's part of a reply: what it takes on, refuses, and writes.

The engine here speaks on cue; the real ones are in tests/faults and tests/ml.
"""

import hashlib
import json
import time
from types import SimpleNamespace

import pytest
import redis
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import Adapter, Generation
from jobs.runners import bell, engines
from jobs.tokenlog import key_of
from tests.jobs.on_cue import ended, make_base, submitted, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def adapter(team, base, settings):
    """An adapter of the base, whole on disk."""
    adapter = Adapter(team=team, base=base, name="French", folder="run/adapter", template_hash="t" * 64, rank=4)
    adapter.path.mkdir(parents=True, exist_ok=True)
    (adapter.path / "adapter_model.safetensors").write_bytes(b"weights")
    files = {"adapter_model.safetensors": {"size": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}}
    manifest = json.dumps({"files": files})
    (adapter.path / "manifest.json").write_text(manifest)
    adapter.sha256 = hashlib.sha256(manifest.encode()).hexdigest()
    adapter.save()
    return adapter


def test_a_reply_is_what_the_engine_said_with_its_counts(runner, opened, ask):
    generation = ask(params={"temperature": 0.0, "max_tokens": 9})
    until(runner, submitted(opened, generation))
    request = opened["one"][0].requests[str(generation.pk)]
    assert (request.sampling.temperature, request.sampling.max_tokens) == (0.0, 9)
    opened["one"][0].say(generation, "Hel", "lo \x00there", finish="stop")
    until(runner, ended(generation))
    assert (generation.state, generation.text, generation.finish_reason) == ("succeeded", "Hello there", "stop")
    assert (generation.prompt_tokens, generation.completion_tokens) == (7, 2)
    assert generation.text_sha256 == hashlib.sha256(b"Hello there").hexdigest()
    assert 0 <= generation.first_token_ms <= generation.total_ms


def test_a_continued_reply_begins_with_what_was_written(runner, opened, ask):
    generation = ask(prefill="Once upon")
    until(runner, submitted(opened, generation))
    assert opened["one"][0].requests[str(generation.pk)].prefill == "Once upon"
    opened["one"][0].say(generation, " a time", finish="length")
    until(runner, ended(generation))
    assert (generation.text, generation.state) == ("Once upon a time", "succeeded")


def test_readers_get_at_most_twenty_pieces_a_second(runner, opened, ask):
    generation = ask()
    until(runner, submitted(opened, generation))
    began = time.monotonic()
    for _ in range(200):
        opened["one"][0].say(generation, "word ")
        runner.look()
        time.sleep(0.002)
    lasted = time.monotonic() - began
    entries = redis.Redis.from_url(settings.REDIS_URL).xlen(key_of(generation.pk))
    assert 2 <= entries <= lasted * 20 + 2  # one at each end
    opened["one"][0].say(generation, finish="stop")
    until(runner, ended(generation))
    assert generation.text == "word " * 200


def test_what_comes_after_a_pause_is_told_at_once(runner, opened, ask):
    generation = ask()
    until(runner, submitted(opened, generation))
    log = redis.Redis.from_url(settings.REDIS_URL)
    reply = runner.replies[str(generation.pk)]
    for told, word in enumerate(("one ", "two ", "three"), 1):
        until(runner, lambda: time.monotonic() > max(reply.speaks_at, runner.quiet_until))
        bell.wait(0)
        opened["one"][0].say(generation, word)
        assert bell.wait(5), "the engine's piece wakes the worker"
        runner.look()
        assert log.xlen(key_of(generation.pk)) == told


def test_no_more_is_taken_on_than_fits_and_the_rest_stays_in_the_queue(runner, opened, ask):
    first = ask()
    until(runner, submitted(opened, first))
    second = ask()
    for _ in range(4):
        ask()
    engine = opened["one"][0]
    until(runner, lambda: len(engine.requests) == engine.capacity)
    runner.look()
    assert Generation.objects.filter(state="queued").count() == 3
    for generation in (first, second):
        engine.say(generation, "done", finish="stop")
    until(runner, lambda: Generation.objects.filter(state="queued").count() == 1)


def test_many_asked_at_once_are_taken_on_together(runner, opened, ask):
    first = ask()
    until(runner, submitted(opened, first))
    opened["one"][0].say(first, "done", finish="stop")
    until(runner, ended(first))
    asked = [ask() for _ in range(3)]
    with CaptureQueriesContext(connection) as captured:
        runner.look()
    assert {str(one.pk) for one in asked} == set(runner.replies)
    commits = [query for query in captured if "SKIP LOCKED" in query["sql"]]
    assert len(commits) <= 2, "one that takes all, and one that finds that no other model is asked for"


def test_the_third_base_takes_the_place_of_an_idle_one_and_waits_for_a_busy_one(runner, opened, ask):
    busy, idle, third = (ask(model=make_base(key)) for key in ("busy", "idle", "third"))
    until(runner, submitted(opened, busy, "busy"))
    until(runner, submitted(opened, idle, "idle"))
    runner.look()
    assert Generation.objects.get(pk=third.pk).state == "queued"
    opened["idle"][0].say(idle, "done", finish="stop")
    until(runner, submitted(opened, third, "third"))
    until(runner, lambda: opened["idle"][0].closed)
    assert not opened["busy"][0].closed


def test_a_stop_reaches_the_engine(runner, opened, ask):
    generation = ask()
    until(runner, submitted(opened, generation))
    opened["one"][0].say(generation, "so far")
    generation.request_cancel()
    until(runner, ended(generation))
    assert (generation.state, generation.cause, generation.text) == ("cancelled", "cancelled", "so far")


def test_a_reply_given_up_by_the_sweep_is_stopped_and_not_touched(runner, opened, ask):
    generation = ask()
    until(runner, submitted(opened, generation))
    Generation.objects.filter(pk=generation.pk).update(state="failed", cause="lost", text="kept")
    opened["one"][0].say(generation, "stale")
    until(runner, lambda: str(generation.pk) in opened["one"][0].cancelled)
    generation.refresh_from_db()
    assert (generation.text, generation.cause) == ("kept", "lost") and not runner.replies


def test_an_engine_that_dies_takes_only_its_replies_and_the_next_opens_it_anew(runner, opened, ask):
    generation = ask()
    until(runner, submitted(opened, generation))
    opened["one"][0].say(generation, "half an ans")
    opened["one"][0].deltas.put("crash")
    until(runner, ended(generation))
    assert (generation.state, generation.text) == ("failed", "half an ans") and "continue" in generation.message
    again = ask()
    until(runner, lambda: len(opened["one"]) == 2 and str(again.pk) in opened["one"][1].requests)


def test_a_base_that_cannot_be_opened_fails_its_replies_with_a_sentence(runner, ask, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("CUDA error 999 at 0xdeadbeef")

    monkeypatch.setattr(engines, "open_engine", broken)
    generation = ask()
    until(runner, ended(generation))
    assert (generation.state, generation.cause) == ("failed", "error")
    assert "One could not be opened" in generation.message and "CUDA" not in generation.message


def test_an_adapter_is_served_as_it_was_trained(runner, opened, ask, adapter):
    generation = ask(adapter=adapter)
    until(runner, submitted(opened, generation))
    (loaded,) = opened["one"][0].loaded
    assert loaded.path == adapter.path
    assert opened["one"][0].requests[str(generation.pk)].adapter == loaded.name


def test_an_adapter_trained_with_another_template_is_refused(runner, opened, ask, adapter):
    Adapter.objects.update(template_hash="x" * 64)
    generation = ask(adapter=adapter)
    until(runner, ended(generation))
    assert (generation.cause, generation.state) == ("model_missing", "failed")
    assert "another chat template" in generation.message
    assert not opened["one"][0].requests and not opened["one"][0].loaded


@pytest.mark.parametrize("damage", ["changed", "missing", "swapped"])
def test_an_adapter_whose_files_changed_is_refused(runner, opened, ask, adapter, damage):
    weights = adapter.path / "adapter_model.safetensors"
    if damage == "changed":
        weights.write_bytes(b"w3ights")
    elif damage == "missing":
        weights.unlink()
    else:
        (adapter.path / "manifest.json").write_text(json.dumps({"files": {}}))
    generation = ask(adapter=adapter)
    until(runner, ended(generation))
    assert generation.cause == "model_missing" and "missing or have changed" in generation.message
    assert not opened["one"][0].loaded


def test_a_model_that_was_pointed_elsewhere_is_opened_again(runner, opened, ask, base):
    first = ask()
    until(runner, submitted(opened, first))
    opened["one"][0].say(first, "one", finish="stop")
    until(runner, ended(first))
    base.folder = "two"
    base.save()
    until(runner, submitted(opened, ask(), "two"))
    until(runner, lambda: opened["one"][0].closed)


def test_when_the_worker_goes_it_ends_what_it_can_and_marks_the_rest(runner, opened, ask, monkeypatch):
    monkeypatch.setattr("jobs.runners.infer.STOP_SECONDS", 0.3)
    quick, slow = ask(), ask()
    until(runner, lambda: submitted(opened, quick)() and submitted(opened, slow)())
    opened["one"][0].say(quick, "done", finish="stop")
    opened["one"][0].say(slow, "not yet")
    runner.stop()
    quick.refresh_from_db(), slow.refresh_from_db()
    assert (quick.state, quick.text) == ("succeeded", "done")
    assert (slow.state, slow.cause, slow.text) == ("failed", "lost", "not yet")
    assert opened["one"][0].closed


def test_facts_say_what_is_open(runner, opened, ask):
    until(runner, submitted(opened, ask()))
    facts = SimpleNamespace(**runner.facts())
    assert facts.constrains == {"one": True}
    assert facts.pace == {"one": {"decode": 1, "batch": 2}}
    assert (facts.models, facts.engine, facts.capacity, facts.in_flight) == (["one"], "llama", 3, 1)
