"""How rows become forward passes, and how passes run side by side."""

import random
import threading
from concurrent.futures import wait

import pytest
import torch

from jobs.ml import passes
from jobs.ml.config import TrainConfig
from jobs.ml.fused.row_attention import exact_products
from jobs.ml.lanes import Lanes

LENGTHS = [7, 31, 12, 64, 9, 22, 40, 5, 18, 27, 33]
LONG = [draw.randrange(20, 400) for draw in [random.Random(5)] for _ in range(200)]


def sizes(groups, lengths):
    return [sum(lengths[row] for row in group) for group in groups]


def test_an_accelerator_gets_rows_of_similar_length_within_the_budget():
    groups = passes.pack(range(len(LENGTHS)), LENGTHS, 64)
    assert [row for group in groups for row in group] == sorted(range(len(LENGTHS)), key=lambda row: LENGTHS[row])
    assert max(sizes(groups, LENGTHS)) <= 64


@pytest.mark.parametrize("way", [passes.pack, passes.balance])
def test_a_row_longer_than_the_budget_goes_alone(way):
    assert [1] in way([0, 1, 2], [10, 99, 10], 32)


@pytest.mark.parametrize("rows", [2, 5, 16, 40, 200])
def test_a_cpu_gets_passes_that_lanes_can_share_and_that_take_equally_long(rows):
    groups = passes.group(range(rows), LONG, TrainConfig(), accelerator=False)
    assert sorted(row for group in groups for row in group) == list(range(rows))
    assert len(groups) in (1, 2) or len(groups) % 4 == 0 or len(groups) == rows
    found = sizes(groups, LONG)
    assert max(found) <= 512
    if rows >= 16:
        assert min(found) > 0.8 * max(found)


def test_a_step_of_few_tokens_is_one_pass():
    assert passes.group(range(8), [40] * 8, TrainConfig(), accelerator=False) == [list(range(8))]
    assert len(passes.group(range(8), [60] * 8, TrainConfig(), accelerator=False)) == 2


def test_rows_that_never_share_a_pass_are_grouped_in_time():
    assert len(passes.group(range(20_000), [300] * 20_000, TrainConfig(), accelerator=False)) == 20_000


def test_lanes_work_at_the_same_time_and_answer_in_order():
    both = threading.Barrier(2, timeout=10)

    def work(item):
        both.wait()
        return item, torch.get_num_threads()

    before = torch.get_num_threads()
    assert list(Lanes(5).map(work, [3, 1])) == [(3, 2), (1, 2)]
    assert torch.get_num_threads() == before


def test_what_fails_in_a_lane_is_raised_and_the_rest_does_not_begin(monkeypatch):
    begun, cancelled = [], threading.Event()
    monkeypatch.setattr("jobs.ml.lanes.wait", lambda futures: (cancelled.set(), wait(futures)))

    def work(item):
        begun.append(item)
        if item == 0:
            raise MemoryError
        cancelled.wait(2)

    lanes = Lanes(2)
    with pytest.raises(MemoryError):
        list(lanes.map(work, range(6)))
    list(lanes.map(str, range(4)))  # comes after whatever was still to be begun
    assert set(begun) <= {0, 1, 2}


def test_what_torch_keeps_once_for_all_threads_holds_for_all_lanes_and_no_longer():
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    lanes = Lanes(2, lambda: exact_products(torch.bfloat16))

    assert list(lanes.map(lambda item: matmul.fp32_precision, range(4))) == ["bf16"] * 4
    assert matmul.fp32_precision == before
