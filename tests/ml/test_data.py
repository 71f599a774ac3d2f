"""Which rows a run sees, and when."""

from jobs.ml import data
from jobs.ml.config import TrainConfig

LENGTHS = [7, 31, 12, 64, 9, 22, 40, 5, 18, 27, 33]


def test_every_epoch_sees_every_row_once_in_an_order_of_its_own():
    config = TrainConfig(batch_size=2, gradient_accumulation_steps=2)
    per_epoch = data.steps_per_epoch(len(LENGTHS), config)
    epochs = []
    for epoch in range(3):
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        seen = [row for step in steps for row in data.step_rows(len(LENGTHS), config, step)]
        assert sorted(seen) == list(range(len(LENGTHS)))
        epochs.append(tuple(seen))
    assert len(set(epochs)) == 3


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else():
    import random

    before = data.epoch_order(100, 42, 1)
    random.seed(0)
    assert data.epoch_order(100, 42, 1) == before
    assert data.epoch_order(100, 43, 1) != before
    assert data.epoch_order(5, 42, 0) == [4, 1, 0, 3, 2]  # fixed for good: old runs must resume under new versions


def test_steps_follow_from_epochs_unless_they_are_given():
    config = TrainConfig(epochs=3, batch_size=4, gradient_accumulation_steps=4)
    assert data.total_steps(664, config) == 126
    assert data.total_steps(1, TrainConfig(epochs=0.01)) == 1
    assert data.total_steps(664, TrainConfig(max_steps=7)) == 7
