"""How many threads llama.cpp gets: what was fastest here, tried once for a machine and a model."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from jobs.ml.engines import pace
from jobs.ml.engines.pace import Pace


class Trials:
    """Trials with known results: tokens/s by number of threads, one for each try."""

    def __init__(self, decode: dict[int, list[float]], batch: dict[int, list[float]]) -> None:
        self.speeds = {"decode": decode, "batch": batch}
        self.opened = 0

    def __call__(self, gguf: Path, threads: int) -> Trials:
        self.opened += 1
        trial = Trials(**{kind: {threads: list(speeds[threads])} for kind, speeds in self.speeds.items()})
        trial.threads = threads
        return trial

    def decode(self) -> float:
        return self.speeds["decode"][self.threads].pop(0)

    def read(self) -> float:
        return self.speeds["batch"][self.threads].pop(0)


SLEEPY = Trials(decode={1: [50, 60], 2: [20, 36]}, batch={1: [80, 80], 2: [120, 130]})


def test_one_reply_and_a_batch_each_get_what_is_fastest_for_them() -> None:
    found = pace.measured(lambda threads: SLEEPY(Path(), threads), [1, 2])
    assert (found.decode, found.batch) == (1, 2)
    assert found.measured == {"decode": {"1": 60, "2": 36}, "batch": {"1": 80, "2": 130}}


def test_a_thread_more_must_be_worth_it_and_one_slow_try_decides_nothing() -> None:
    trials = Trials(decode={1: [100, 100], 2: [104, 90]}, batch={1: [50, 50], 2: [10, 90]})
    found = pace.measured(lambda threads: trials(Path(), threads), [1, 2])
    assert (found.decode, found.batch) == (1, 2)


@pytest.mark.parametrize(("speeds", "batch"), [([90, 80], 2), ([110, 80], 1)])
def test_all_threads_read_prompts_unless_fewer_are_much_faster(speeds: list[float], batch: int) -> None:
    trials = Trials(decode={1: [100, 100], 2: [50, 50]}, batch={1: [speeds[0]] * 2, 2: [speeds[1]] * 2})
    assert pace.measured(lambda threads: trials(Path(), threads), [1, 2]).batch == batch


@pytest.mark.parametrize(("most", "tried"), [(2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_the_numbers_tried_double_up_to_all(most: int, tried: list[int]) -> None:
    assert pace.candidates(most) == tried


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_the_choice_is_kept_beside_the_model_and_made_anew_on_another_machine(
    gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = Trials(SLEEPY.speeds["decode"], SLEEPY.speeds["batch"])
    monkeypatch.setattr(pace, "Trial", trials)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 9, 9))
    first = pace.choose(gguf, 2)
    assert (first.decode, first.batch, trials.opened) == (1, 2, 2)
    assert pace.choose(gguf, 2) == first
    assert trials.opened == 2
    monkeypatch.setattr(pace, "processor", lambda: "another one")
    assert pace.choose(gguf, 2) == first
    assert trials.opened == 4
    assert len(json.loads((gguf.parent / pace.KEPT).read_text())) == 2
    (gguf.parent / pace.KEPT).write_text("{half a fi")
    assert pace.choose(gguf, 2) == first
    assert trials.opened == 6


def test_a_choice_made_on_a_busy_machine_is_not_kept(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "Trial", Trials(SLEEPY.speeds["decode"], SLEEPY.speeds["batch"]))
    monkeypatch.setattr(os, "getloadavg", lambda: (1000, 0, 0))
    assert pace.choose(gguf, 2).decode == 1
    assert not (gguf.parent / pace.KEPT).exists()


def test_with_one_thread_there_is_nothing_to_choose(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "Trial", None)
    assert pace.choose(gguf, 1) == Pace(1, 1, {})
    assert not (gguf.parent / pace.KEPT).exists()


def test_a_model_that_cannot_be_opened_is_no_matter_here(gguf: Path) -> None:
    gguf.write_bytes(b"no model")
    assert pace.choose(gguf, 2) == Pace(2, 2, {})


def test_a_real_model_is_timed(base_dir: Path, gguf: Path) -> None:
    shutil.copyfile(base_dir / "model.gguf", gguf)
    trial = pace.Trial(gguf, 1)
    assert trial.decode() > 1
    assert trial.read() > 1
