"""What a trainer prints becomes the run's record: whole, fenced, and told only once."""

import json

import pytest

from jobs.models import Adapter, Dataset, FineTune, LanguageModel, LeaseLost, MetricPoint
from jobs.runners import child
from jobs.runners.record import Record

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(team, db):
    base = LanguageModel.objects.create(key="toy", name="Toy", template_hash="t" * 64)
    dataset = Dataset.objects.create(team=team, name="Rows", sha256="d" * 64)
    config = {"lora": {"r": 4}}
    FineTune.objects.create(team=team, name="My run", base=base, dataset=dataset, config=config)
    return FineTune.objects.all().claim("train@here:1")[0]


def line(kind, **values):
    return json.dumps({"type": kind, **values})


def start(resumed_from=None):
    facts = {"rows": 20, "trainable_parameters": 1000, "device": "cpu", "threads": 1, "compiled": False}
    return line("start", total_steps=10, resumed_from=resumed_from, **facts)


def step(number, loss=1.5):
    values = {"epoch": 0.1 * number, "learning_rate": 1e-3, "grad_norm": 1.0, "tokens": 100 * number}
    return line("step", step=number, loss=loss, tokens_per_second=50.0, memory_bytes=1, eta_seconds=9.0, **values)


def checkpoint(number, best=False):
    path = f"attempt-1/checkpoints/step-{number:06d}"
    return line("checkpoint", step=number, path=path, sha256="c" * 64, eval_loss=1.0, best=best)


def take(record, *lines):
    for text in lines:
        record.take(text)
    record.write()


def test_steps_become_points_events_and_the_rows_progress(run):
    take(Record(run), start(), step(1), step(2), line("eval", step=2, loss=1.2, best=True))
    run.refresh_from_db()
    assert (run.step, run.total_steps, run.tokens, run.eta_seconds) == (2, 10, 200, 9.0)
    assert run.progressed_at
    assert list(run.points.values_list("kind", "step", "loss")) == [
        ("train", 1, 1.5),
        ("train", 2, 1.5),
        ("eval", 2, 1.2),
    ]
    assert [event.data.get("train_loss") for event in run.events.filter(kind="metrics")] == [1.5, 1.5, None]


def test_a_resumed_attempt_forgets_what_lay_beyond_its_checkpoint(run):
    sample = line("sample", step=4, index=0, text="too late")
    take(Record(run), start(), *(step(n) for n in range(1, 5)), sample)
    take(Record(run), start(resumed_from=2), step(3, loss=0.5))
    assert list(run.points.values_list("step", "loss")) == [(1, 1.5), (2, 1.5), (3, 0.5)]
    assert list(run.events.filter(kind="metrics").values_list("data__step", flat=True)) == [1, 2, 3]
    assert not run.samples.exists()
    assert run.events.filter(message="Going on after step 2 of 10.").exists()


def test_nothing_is_written_for_an_attempt_that_lost_its_job(run):
    record = Record(run)
    FineTune.objects.filter(pk=run.pk).update(fence=2)
    with pytest.raises(LeaseLost):
        take(record, start(), step(1), checkpoint(1))
    assert not MetricPoint.objects.exists() and not run.checkpoints.exists() and not run.events.exists()


def test_a_checkpoint_is_pointed_at_and_earns_new_attempts_only_if_it_is_further(run):
    FineTune.objects.filter(pk=run.pk).update(attempts=3)
    run.refresh_from_db()
    record = Record(run)
    take(record, start(), checkpoint(4, best=True))
    assert run.checkpoint.step == 4 and run.attempts == 1
    FineTune.objects.filter(pk=run.pk).update(attempts=3)
    run.refresh_from_db()
    take(record, checkpoint(4))
    run.refresh_from_db()
    assert run.attempts == 3
    take(record, checkpoint(6, best=True))
    assert list(run.checkpoints.filter(best=True).values_list("step", flat=True)) == [6]


def test_numbers_and_letters_that_a_database_cannot_keep_do_no_harm(run):
    lines = step(1).replace("1.5", "NaN"), line("sample", step=1, index=0, text="a\x00b\ud83d")
    take(Record(run), start(), *lines, "not json at all", '["nor an event"]', line("unheard of"))
    assert run.points.get().loss is None
    assert run.samples.get().text == "ab"


def test_the_adapter_and_the_success_come_together(run):
    record = Record(run)
    metrics = {"train_loss": 1.0, "eval_loss": 0.9, "trained_tokens": 300}
    provenance = {"template_hash": "t" * 64, "seed": 1}
    done = {"step": 10, "path": "attempt-1/adapter", "sha256": "a" * 64, "stopped_early": False}
    take(record, start(), line("done", metrics=metrics, provenance=provenance, **done))
    record.finish()
    run.refresh_from_db()
    assert (run.state, run.adapter.rank, run.adapter.suffix) == ("succeeded", 4, "my-run")
    assert run.adapter.path == run.run_dir / "attempt-1" / "adapter"
    assert run.metrics["eval_loss"] == 0.9 and run.provenance["dataset_sha256"] == "d" * 64

    with pytest.raises(LeaseLost):
        record.finish()
    assert Adapter.objects.count() == 1


def test_the_childs_log_is_read_once_in_whole_lines_and_not_without_end(tmp_path):
    log = tmp_path / "child.log"
    assert child.new_lines(log, 0) == ([], 0)
    log.write_text("one\n\ntwo\nhalf")
    lines, position = child.new_lines(log, 0)
    assert lines == ["one", "two"]
    log.write_text("one\n\ntwo\nhalf a line\n")
    assert child.new_lines(log, position)[0] == ["half a line"]
    log.write_text("flood\n" * 100_000)
    lines, position = child.new_lines(log, 0)
    assert len(lines) == child.MOST_LINES
    while lines:
        lines, position = child.new_lines(log, position)
    assert position <= child.MOST_BYTES
