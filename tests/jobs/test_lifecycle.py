"""A job is one row: claimed by one worker, written only by who holds it, ended once."""

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from jobs.models import Dataset, FineTune, Generation, Job, LanguageModel, LeaseLost, State
from jobs.models.lifecycle import EDGES, FINAL
from jobs.texts import storable

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(db):
    return LanguageModel.objects.create(key="toy", name="Toy")


@pytest.fixture
def ask(team, alice, model):
    def ask(**fields):
        made = Generation.ask(
            team=team, author=alice, purpose="chat", model=model, adapter=None, messages=[], params={}, **fields
        )
        return Generation.objects.get(pk=made.pk)

    return ask


def in_other_connections(count, work):
    """Run `work(n)` at the same moment in `count` threads, each with a connection of its own."""
    gate, results = threading.Barrier(count), [None] * count

    def run(n):
        try:
            gate.wait()
            results[n] = work(n)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_many_workers_that_reach_for_the_same_jobs_get_each_job_once(ask):
    asked = {ask().pk for _ in range(20)}
    taken = in_other_connections(8, lambda n: [job.pk for job in Generation.objects.all().claim(f"infer@{n}", limit=4)])
    claimed = [pk for share in taken for pk in share]
    assert len(claimed) == len(set(claimed)) and all(len(share) <= 4 for share in taken)
    assert set(claimed) == asked


def test_a_claim_takes_the_oldest_first_with_a_lease_and_a_higher_fence(ask):
    first, second = ask(), ask()
    (claimed,) = Generation.objects.all().claim("infer@here:1")
    assert claimed.pk == first.pk != second.pk
    assert (claimed.state, claimed.worker, claimed.fence, claimed.attempts) == ("running", "infer@here:1", 1, 1)
    assert abs(claimed.lease_until - claimed.started_at - Generation.LEASE) < timedelta(milliseconds=10)


def test_an_attempt_that_lost_its_job_can_write_nothing_more(ask):
    ask()
    (old,) = Generation.objects.all().claim("infer@old:1")
    Generation.objects.get(pk=old.pk).release(counted=True)
    (new,) = Generation.objects.all().claim("infer@new:2")
    for attempt in (
        lambda: old.beat(text="stale"),
        lambda: old.finish(State.SUCCEEDED),
        lambda: old.release(counted=True),
    ):
        with pytest.raises(LeaseLost):
            attempt()
    assert Generation.objects.snapshot([old]) == set()
    new.beat(text="fresh")
    new.finish(State.SUCCEEDED)
    assert Generation.objects.get(pk=new.pk).text == "fresh"


def test_a_snapshot_of_many_replies_renews_their_leases_in_one_statement(ask, django_assert_num_queries):
    ask(), ask()
    replies = Generation.objects.all().claim("infer@here:1", limit=2)
    Generation.objects.update(lease_until=Now() - timedelta(seconds=1))
    for reply, text in zip(replies, ("ä bc", ""), strict=True):
        reply.text, reply.sequence_number = text, len(text)
    with django_assert_num_queries(1):
        assert Generation.objects.snapshot(replies) == {reply.pk for reply in replies}
    assert set(Generation.objects.values_list("text", "sequence_number")) == {("ä bc", 4), ("", 0)}
    assert not Generation.objects.all().expired().exists()


def test_a_finished_job_stays_finished(ask):
    ask()
    (job,) = Generation.objects.all().claim("infer@here:1")
    job.finish(State.SUCCEEDED, text="done")
    with pytest.raises(LeaseLost):
        job.finish(State.FAILED)
    assert not job.request_cancel()
    assert Generation.objects.get(pk=job.pk).state == State.SUCCEEDED


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_the_database_knows_the_legal_steps(team, model, before, after):
    job = Generation.objects.create(team=team, model=model, messages=[], state=before)
    try:
        with transaction.atomic():
            Generation.objects.filter(pk=job.pk).update(state=after)
        went = True
    except IntegrityError:
        went = False
    assert went == (before == after or (before, after) in EDGES)
    assert before not in FINAL or not went or before == after


def test_every_kind_of_job_is_guarded():
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'legal_edge'")
        guarded = {row[0] for row in cursor.fetchall()}
    assert guarded == {model._meta.db_table for model in Job.__subclasses__()}


def test_cancelling_what_waits_ends_it_and_what_runs_is_asked_to_stop(ask):
    waiting = ask()
    assert waiting.request_cancel()
    waiting.refresh_from_db()
    assert (waiting.state, waiting.cause) == ("cancelled", "cancelled") and waiting.finished_at

    ask()
    (running,) = Generation.objects.all().claim("infer@here:1")
    assert running.request_cancel() and running.request_cancel()
    running.refresh_from_db()
    assert running.state == "running" and running.cancel_requested_at


def test_handing_back_uncounted_costs_no_attempt(ask):
    ask()
    (job,) = Generation.objects.all().claim("infer@here:1")
    job.release(counted=False)
    job.refresh_from_db()
    assert (job.state, job.attempts, job.fence, job.lease_until) == ("queued", 0, 1, None)


def test_a_fine_tune_waits_for_its_data(team, model):
    FineTune.objects.create(team=team, name="Early", base=model, config={})
    dataset = Dataset.objects.create(team=team, name="Rows", sha256="0" * 64)
    ready = FineTune.objects.create(team=team, name="Ready", base=model, config={}, dataset=dataset)
    assert FineTune.objects.all().claim("train@here:1", limit=5) == [ready]


def test_a_question_with_impossible_parameters_is_refused_before_it_is_queued(team, alice, model):
    with pytest.raises(ValueError, match="temperature"):
        Generation.ask(
            team=team, author=alice, purpose="chat", model=model, adapter=None, messages=[], params={"temperature": 9}
        )
    assert not Generation.objects.exists()


def test_text_that_postgres_cannot_keep_is_cleaned():
    assert storable("a\x00b\ud83dc 🙂") == "abc 🙂"
