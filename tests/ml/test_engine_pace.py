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

    def __init__(self, speeds: dict[int, list[float]]) -> None:
        self.speeds = speeds
        self.opened = 0

    def __call__(self, gguf: Path, threads: int) -> Trials:
        self.opened += 1
        return Trials({0: list(self.speeds[threads])})

    def decode(self) -> float:
        return self.speeds[0].pop(0)


SLEEPY = {1: [50, 60], 2: [20, 36]}


@pytest.mark.parametrize(
    ("speeds", "decode"),
    [
        (SLEEPY, 1),
        ({1: [100, 100], 2: [104, 90]}, 1),  # a thread more must be worth it
        ({1: [100, 100], 2: [20, 130]}, 2),  # and one slow try decides nothing
    ],
)
def test_one_reply_gets_the_threads_that_make_it_fastest_and_prompts_get_all(
    speeds: dict[int, list[float]], decode: int
) -> None:
    trials = Trials(speeds)
    found = pace.measured(lambda threads: trials(Path(), threads), [1, 2])
    assert (found.decode, found.batch) == (decode, 2)
    assert found.measured == {str(threads): max(tries) for threads, tries in speeds.items()}


@pytest.mark.parametrize(("most", "tried"), [(2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_the_numbers_tried_double_up_to_all(most: int, tried: list[int]) -> None:
    assert pace.candidates(most) == tried


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_the_choice_is_kept_beside_the_model_and_made_anew_on_another_machine(
    gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = Trials(SLEEPY)
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
    monkeypatch.setattr(pace, "Trial", Trials(SLEEPY))
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
