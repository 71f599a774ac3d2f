"""What is left behind is found: lost jobs go on or end with a reason, and no outage makes everybody look dead."""

import hashlib
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from jobs.models import Dataset, FineTune, Generation, LanguageModel, State, Worker
from jobs.runners import sweep as module
from jobs.runners.sweep import Sweeper
from jobs.tokenlog import TokenLog

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(transactional_db):
    return LanguageModel.objects.create(key="toy", name="Toy")


@pytest.fixture
def reply(team, alice, model):
    Generation.ask(team=team, author=alice, purpose="chat", model=model, adapter=None, messages=[], params={})
    return Generation.objects.all().claim("infer@dead:1")[0]


@pytest.fixture
def run(team, model):
    dataset = Dataset.objects.create(team=team, name="Rows", sha256="0" * 64)
    FineTune.objects.create(team=team, name="Run", base=model, config={}, dataset=dataset)
    return FineTune.objects.all().claim("train@dead:1")[0]


@pytest.fixture
def sweeper(monkeypatch):
    """A sweeper of a database that has been up for a while, although the test's has only just started."""
    monkeypatch.setattr(module, "database_up_for", lambda cursor: timedelta(hours=1))
    return Sweeper()


@pytest.fixture
def rung(monkeypatch):
    rung = []
    monkeypatch.setattr(module, "ring_on_commit", rung.append)
    return rung


def expire(job):
    type(job).objects.filter(pk=job.pk).update(lease_until=Now() - timedelta(milliseconds=1))


def test_a_lost_reply_keeps_every_word_that_was_shown_and_can_be_continued(reply, sweeper):
    log = TokenLog()
    log.append(reply, "saved ")
    Generation.objects.snapshot([reply])
    log.append(reply, "and ")
    log.append(reply, "streamed")
    expire(reply)
    sweeper.sweep()
    reply.refresh_from_db()
    assert (reply.state, reply.cause, reply.text) == ("failed", "lost", "saved and streamed")
    assert reply.text_sha256 == hashlib.sha256(b"saved and streamed").hexdigest()
    assert reply.sequence_number == 3 and "continue" in reply.message


def test_a_lost_reply_that_was_being_stopped_is_stopped(reply, sweeper):
    reply.request_cancel()
    expire(reply)
    sweeper.sweep()
    reply.refresh_from_db()
    assert (reply.state, reply.finish_reason) == ("cancelled", "cancelled")


def test_a_lost_run_is_queued_again_until_its_attempts_are_used_up(run, sweeper, rung):
    for attempt in (1, 2):
        expire(run)
        sweeper.sweep()
        run.refresh_from_db()
        assert (run.state, run.attempts) == ("queued", attempt)
        assert "train" in rung and run.events.filter(level="warn").count() == attempt
        (run,) = FineTune.objects.all().claim("train@next:2")
    expire(run)
    sweeper.sweep()
    run.refresh_from_db()
    assert (run.state, run.cause) == ("failed", "lost") and "memory" in run.message


def test_a_lost_run_that_was_being_cancelled_is_cancelled(run, sweeper):
    run.request_cancel()
    expire(run)
    sweeper.sweep()
    run.refresh_from_db()
    assert run.state == State.CANCELLED


def test_a_live_lease_is_left_alone(run, reply, sweeper):
    sweeper.sweep()
    assert {run.state, reply.state} == {State.RUNNING}


def test_after_an_outage_nothing_expires_before_everyone_could_renew(run, sweeper, monkeypatch):
    expire(run)
    clock = sweeper.reached_at
    monkeypatch.setattr(module.time, "monotonic", lambda: clock)

    def state_at(seconds):
        nonlocal clock
        clock = sweeper.reached_at + seconds
        sweeper.sweep()
        run.refresh_from_db()
        return run.state

    assert state_at(60) == State.RUNNING  # a minute without the database: perhaps it was away for all of us
    assert state_at(3) == State.RUNNING
    for _ in range(5):
        state = state_at(3)
    assert state == State.QUEUED  # a full lease later, and still silent


def test_a_database_that_has_just_started_is_given_a_lease(run, sweeper, monkeypatch):
    expire(run)
    monkeypatch.setattr(module, "database_up_for", lambda cursor: timedelta(seconds=5))
    sweeper.sweep()
    run.refresh_from_db()
    assert run.state == State.RUNNING


def test_a_doorbell_that_nobody_heard_is_rung_again_if_somebody_is_there(run, sweeper, rung):
    run.release(counted=False)
    FineTune.objects.update(queued_at=Now() - timedelta(seconds=6))
    sweeper.sweep()
    assert rung == []
    Worker.objects.create(name="train@here:1", kind="train", host="here", pid=1)
    sweeper.sweep()
    assert rung == ["train"]
