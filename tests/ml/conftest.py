"""Runs to train and adapters to answer with, on the models of tests/conftest.py."""

import json
import sys
from pathlib import Path

import pytest

from jobs.ml import base_model
from jobs.ml.config import RunConfig, TrainConfig
from jobs.ml.engines.base import AdapterRef

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"max_length": 64, "batch_size": 2, "gradient_accumulation_steps": 2, "learning_rate": 5e-3, "probe_tokens": 8}


@pytest.fixture(scope="session")
def adapters(base_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, AdapterRef]:
    """Two real LoRA adapters, each taught one word in a few steps."""
    from tests.ml.listening import WORDS, teach

    folder = tmp_path_factory.mktemp("adapters")
    return {name: AdapterRef(name, teach(base_dir, word, folder / name)) for name, word in WORDS.items()}


def conversation(question: str, answer: str) -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


ROWS = [conversation(f"What comes after {n}?", f"After {n} comes {n + 1}." + " Yes." * (n % 3)) for n in range(20)]


@pytest.fixture
def make_run(toy_base: Path, tmp_path: Path):
    """A run directory on the toy base: `make_run(rows, validation, **options)`."""

    def make(rows=ROWS, validation=ROWS[:4], *, base=toy_base, probes=(), name="run", **options) -> Path:
        run_dir = tmp_path / name
        (run_dir / "data").mkdir(parents=True)
        for file, content in (("train", rows), ("validation", validation)):
            lines = [row if isinstance(row, str) else json.dumps(row) for row in content]
            (run_dir / "data" / f"{file}.jsonl").write_text("\n".join(lines))
        config = TrainConfig.from_dict({**QUICK, **options})
        template_hash = base_model.describe(base)["template_hash"]
        RunConfig(base.name, str(base), template_hash, config, probes=tuple(probes)).save(run_dir)
        return run_dir

    return make


def command(run_dir: Path, *options: str) -> list[str]:
    """The trainer as the worker starts it: a process of its own, one thread."""
    return [sys.executable, "-m", "jobs.ml", "train", str(run_dir), "--threads", "1", *options]


class Events(list):
    """What a run said, in order."""

    def __call__(self, kind: str, **values) -> None:
        self.append({"type": kind, **values})

    def of(self, kind: str) -> list[dict]:
        return [event for event in self if event["type"] == kind]

    @property
    def losses(self) -> dict[int, str]:
        """Loss of each step as hex, so that equal means equal in every bit."""
        return {event["step"]: event["loss"].hex() for event in self.of("step")}
