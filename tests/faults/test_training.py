"""A fine-tune outlives what happens to its trainer and its worker, and ends once, with an adapter or a reason."""

import os
import signal
import time

import pytest

from jobs.models import Adapter, FineTune, State
from jobs.runners.artefacts import is_whole
from tests.faults.conftest import alive, state_of, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

LONG = {"max_steps": 400, "epochs": 20, "evals": 20}  # steps of a toy, so seconds; long enough to be interrupted


def end_of(run, seconds=60):
    """The state it ends in."""

    def ended():
        state_of(run)
        print(f"{run.state}, attempt {run.fence}, step {run.step}: {run.events.last()}")
        return run.is_final and run.state

    return wait_for(ended, seconds, "the end of the run")


def in_the_middle(run, attempt=1):
    """Wait until this attempt has saved a checkpoint of its own and gone beyond it."""

    def condition():
        run.refresh_from_db()
        return run.checkpoint and run.checkpoint.fence == attempt and run.step > run.checkpoint.step

    wait_for(condition, 60, f"the middle of attempt {attempt}")


def steps_of(run):
    return list(run.points.filter(kind="train").values_list("step", flat=True))


def test_a_run_ends_with_an_adapter_and_its_record(start, finetune):
    run = finetune(max_steps=10, epochs=20)
    start("train")
    assert end_of(run) == "succeeded", run.message
    assert is_whole(run.adapter.path, run.adapter.sha256)
    assert (run.adapter.rank, run.adapter.template_hash) == (4, run.template_hash)
    assert steps_of(run) == list(range(1, 11)) and run.points.filter(kind="eval").count() == 6
    assert run.samples.filter(step=0).count() == 4 == run.samples.filter(step=10).count()
    assert run.checkpoint.step == 10 and run.total_steps == run.step == 10
    assert run.metrics["trained_tokens"] > 0 and run.tokens == run.metrics["trained_tokens"]
    assert run.provenance["dataset_sha256"] == run.dataset.sha256 and run.provenance["seed"] == 1
    steps = run.events.filter(kind="metrics", data__has_key="train_loss")
    assert [event.data["step"] for event in steps] == list(range(1, 11))
    assert not run.events.filter(message__contains="Traceback").exists()


def test_a_run_survives_its_trainer_a_pause_a_restart_and_its_worker(start, finetune):
    """One run, four interruptions, each in the middle; every step is there once in the end."""
    run = finetune(**LONG)
    worker = start("train")

    in_the_middle(run)
    os.kill(worker.trainer, signal.SIGKILL)
    in_the_middle(run, attempt=2)
    assert run.events.filter(message__contains="was ended by SIGKILL").exists()

    FineTune.objects.filter(pk=run.pk).update(pause_requested_at=run.queued_at)
    wait_for(lambda: state_of(run) == State.PAUSED, 30, "the pause")
    assert worker.trainer is None
    FineTune.objects.filter(pk=run.pk).update(state=State.QUEUED, pause_requested_at=None)
    in_the_middle(run, attempt=3)

    assert worker.stop() == 0
    assert state_of(run) == State.QUEUED and run.attempts == 0  # handed back, and not held against it
    worker = start("train")
    in_the_middle(run, attempt=4)

    other, trainer = start("train"), worker.trainer
    worker.kill()
    killed_at = time.monotonic()
    wait_for(lambda: not alive(trainer), 2, "the trainer's end")
    wait_for(lambda: state_of(run) == State.RUNNING and run.fence == 5, 30, "the other worker's claim")
    assert time.monotonic() - killed_at < 30

    assert end_of(run) == "succeeded", run.message
    assert run.worker.endswith(f":{other.pid}")
    assert steps_of(run) == list(range(1, 401))
    assert run.events.filter(message__startswith="Going on after step").count() == 4
    assert Adapter.objects.count() == 1 and is_whole(run.adapter.path, run.adapter.sha256)


def test_cancel_ends_the_trainer_and_leaves_no_adapter(start, finetune):
    run = finetune(max_steps=5000, epochs=20, evals=0)
    worker = start("train")
    wait_for(lambda: state_of(run) and run.step > 0, 60, "the first step")
    trainer = worker.trainer
    run.request_cancel()
    assert end_of(run, 12) == "cancelled"
    assert run.cause == "cancelled" and run.adapter is None
    assert not alive(trainer)


def test_stop_keeps_the_best_so_far(start, finetune):
    run = finetune(max_steps=5000, epochs=20, evals=50)
    start("train")
    in_the_middle(run)
    FineTune.objects.filter(pk=run.pk).update(stop_requested_at=run.queued_at)
    assert end_of(run, 30) == "succeeded", run.message
    assert run.metrics["stopped_early"] and 0 < run.step < 5000
    assert is_whole(run.adapter.path, run.adapter.sha256)


def test_data_that_teaches_nothing_fails_with_a_reason_and_no_trace(start, finetune):
    run = finetune(max_steps=5)
    run.dataset.rows.filter(split="train").update(messages=[{"role": "user", "content": "Only a question?"}])
    start("train")
    assert end_of(run) == "failed"
    assert run.cause == "bad_data" and "Traceback" not in run.message
    assert run.events.filter(level="error", kind="message").exists()


def test_a_base_that_is_not_there_is_named(start, finetune, toy):
    toy.folder = "gone"
    toy.save()
    run = finetune(max_steps=5)
    FineTune.objects.filter(pk=run.pk).update(template_hash="")
    start("train")
    assert end_of(run, 30) == "failed"
    assert run.cause == "model_missing" and "toy" in run.message
