"""Real Celery workers as processes of their own on the test's database and Valkey, to be killed at odd moments."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from jobs.ml import base_model
from jobs.models import Dataset, FineTune, Generation, LanguageModel, Row, Worker
from tests.ml.conftest import conversation
from tests.stack import ROOT

QUICK = {"max_length": 64, "batch_size": 2, "gradient_accumulation_steps": 1, "learning_rate": 5e-3, "probe_tokens": 8}


def wait_for(condition, seconds=30.0, what=""):
    """The first true answer of `condition`, asked again and again for at most `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"Waited {seconds:.0f} s for {what or condition.__name__}.")
        time.sleep(0.05)


class WorkerProcess:
    def __init__(self, kind, folder, **env):
        self.kind, self.log = kind, folder / f"{kind}.log"
        host = settings.DATABASES["default"]["HOST"].replace("/", "%2f")
        env = {
            **os.environ,
            "DATABASE_URL": f"postgres://studio@{host}/{connection.settings_dict['NAME']}",
            "REDIS_URL": settings.REDIS_URL,
            "STUDIO_WORKER": kind,
            "STUDIO_TRAIN_THREADS": "1",
            "STUDIO_TRAIN_NICE": "0",
            "STUDIO_INFER_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            **env,
        }
        command = [sys.executable, "-m", "celery", "-A", "llmstudio", "worker", "--pool", "solo", "-Q", kind]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, "-n", f"{kind}@%h"], cwd=ROOT, env=env, stdout=out, stderr=out, start_new_session=True
            )
        self.pid = self.process.pid

    def ready(self):
        def reported_in():
            assert self.process.poll() is None, self.log.read_text()
            return Worker.objects.alive().filter(kind=self.kind, pid=self.pid).exists()

        wait_for(reported_in, 60, f"worker {self.kind}")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=30):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    @property
    def trainer(self):
        """The pid of its child, or None."""
        children = Path(f"/proc/{self.pid}/task").glob("*/children")
        found = [int(pid) for path in children for pid in path.read_text().split()]
        return next((pid for pid in found if b"jobs.ml" in Path(f"/proc/{pid}/cmdline").read_bytes()), None)


@pytest.fixture
def start(transactional_db, tmp_path):
    """`start("infer")` starts a worker and waits until it has reported in."""
    started = []

    def start(kind, **env):
        worker = WorkerProcess(kind, tmp_path, **env)
        started.append(worker)
        return worker.ready()

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.kill()
        print(worker.log.read_text())  # pytest shows it if the test failed


def alive(pid):
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def installed(folder):
    """A prepared base where the workers look, and its row beside it; taken away again, for others expect no model."""
    models = Path(settings.STUDIO_MODELS)
    models.mkdir(parents=True, exist_ok=True)
    link = models / folder.name
    link.symlink_to(folder)
    described = base_model.describe(folder)
    yield LanguageModel.objects.create(
        key=folder.name,
        name=described["name"],
        folder=folder.name,
        parameters=described["parameters"],
        context_length=described["context_length"],
        template_hash=described["template_hash"],
    )
    link.unlink()


@pytest.fixture
def smollm(transactional_db, base_dir):
    with installed(base_dir) as model:
        yield model


@pytest.fixture
def toy(transactional_db, toy_base):
    with installed(toy_base) as model:
        yield model


@pytest.fixture
def ask(team, alice, smollm):
    def ask(text, *, adapter=None, prefill="", **params):
        return Generation.ask(
            team=team,
            author=alice,
            purpose="chat",
            model=smollm,
            adapter=adapter,
            messages=[{"role": "user", "content": text}],
            params={"temperature": 0.0, **params},
            prefill=prefill,
        )

    return ask


@pytest.fixture
def finetune(team, alice, toy):
    """A queued fine-tune of the toy base: `finetune(max_steps=30)`."""

    def make(**options):
        dataset = Dataset.objects.create(
            team=team, name="Counting", sha256="0" * 64, counts={"train": 16, "validation": 4}
        )
        rows = [conversation(f"What comes after {n}?", f"After {n} comes {n + 1}.")["messages"] for n in range(20)]
        Row.objects.bulk_create(
            Row(dataset=dataset, position=n, split="train" if n < 16 else "validation", messages=messages)
            for n, messages in enumerate(rows)
        )
        config = {**QUICK, "lora": {"r": 4, "alpha": 8}, "evals": 5, "early_stop_patience": 0, "seed": 1, **options}
        return FineTune.objects.create(
            team=team,
            author=alice,
            name="Counting",
            base=toy,
            dataset=dataset,
            config=config,
            template_hash=toy.template_hash,
        )

    return make


def state_of(job):
    job.refresh_from_db()
    return job.state
