"""What a person is told before a run starts, held against what the run then does."""

import pytest

from jobs.ml.config import LoraConfig, TrainConfig
from jobs.ml.plan import expected_speed, plan
from tests.ml.test_trainer import train


def a_plan(folder, lengths=(50,) * 600, *, validation=(50,) * 20, memory_total=8 * 2**30, threads=1, **options):
    return plan(
        lengths,
        TrainConfig(**options),
        model_dir=folder,
        tokens_per_second=200,
        memory_total=memory_total,
        validation_lengths=validation,
        threads=threads,
    )


def test_steps_and_tokens_are_those_of_the_run(make_run, toy_base):
    from jobs.ml.inputs import Inputs
    from jobs.ml.template import ChatTemplate
    from tests.ml.conftest import ROWS

    run_dir = make_run(epochs=2, evals=0)
    lengths = [len(ChatTemplate(toy_base).encode(row["messages"]).ids) for row in ROWS]
    config = Inputs.load(run_dir).config.train_config
    planned = plan(lengths, config, model_dir=toy_base, tokens_per_second=1000, memory_total=0)
    done = train(run_dir)[-1]
    assert (planned.steps, planned.tokens) == (done["step"], done["metrics"]["trained_tokens"])


def test_cut_and_dropped_rows_are_counted_apart(base_dir):
    lengths = [40, 600, 700]
    cut = a_plan(base_dir, lengths)
    dropped = a_plan(base_dir, lengths, overlong="drop")
    assert (cut.cut_rows, cut.dropped_rows) == (2, 0)
    assert (dropped.cut_rows, dropped.dropped_rows) == (0, 2)
    assert dropped.tokens < cut.tokens
    assert any("lose their end" in warning for warning in cut.warnings)


def test_time_counts_the_training_and_the_evaluations(base_dir):
    plain, watched = a_plan(base_dir, evals=0), a_plan(base_dir, evals=10)
    assert plain.seconds == pytest.approx(600 * 50 * 3 / 200, rel=0.1)
    assert watched.seconds > plain.seconds


def test_memory_is_near_what_was_measured(base_dir):
    """1.25 GiB at the defaults on the 135M base with one thread and 1.64 with two, whatever the number of rows."""
    assert 1.25 < a_plan(base_dir).memory_bytes / 2**30 < 1.5
    assert 1.64 < a_plan(base_dir, threads=2).memory_bytes / 2**30 < 2
    assert a_plan(base_dir, threads=2, lora=LoraConfig(dropout=0.1)).memory_bytes == a_plan(base_dir).memory_bytes
    assert a_plan(base_dir, gradient_checkpointing=True).memory_bytes < a_plan(base_dir).memory_bytes


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"memory_total": 2**30}, "turn on gradient checkpointing"),
        ({"lengths": [50] * 40}, "Only 9 steps"),
        ({"learning_rate": 5e-3}, "learning rate"),
        ({"validation": []}, "no validation rows"),
        ({"lengths": []}, "no training rows"),
        ({"lengths": [600], "overlong": "drop"}, "Every row is longer"),
    ],
)
def test_it_warns(base_dir, options, warning):
    assert any(warning in text for text in a_plan(base_dir, **options).warnings)


def test_it_is_silent_when_all_is_well(base_dir):
    assert a_plan(base_dir).warnings == []


def test_speed_falls_with_size():
    assert expected_speed(7_000_000_000) < expected_speed(135_000_000) / 50
