"""The trainer as a process of its own: what a worker sees on stdout, and what signals and limits do to it."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.ml import checkpoint
from tests.ml.conftest import Events, command

LONG = {"epochs": 20, "evals": 10, "early_stop_patience": 0}


class Trainer:
    """A started trainer; reads its events as they come."""

    def __init__(self, run_dir, *options, **kwargs):
        self.process = subprocess.Popen(
            command(run_dir, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
        )
        self.events = Events()

    def until(self, kind, step=None):
        """Read until an event of this kind (at this step); what came before is in `events`."""
        for line in self.process.stdout:
            event = json.loads(line)
            self.events.append(event)
            if event["type"] == kind and (step is None or event["step"] >= step):
                return event
        pytest.fail(f"it ended without {kind}: {self.process.stderr.read()}")

    def end(self):
        self.events.extend(json.loads(line) for line in self.process.stdout)
        return self.process.wait(timeout=60)


@pytest.fixture
def start():
    started = []

    def launch(run_dir, *options, **kwargs):
        started.append(Trainer(run_dir, *options, **kwargs))
        return started[-1]

    yield launch
    for trainer in started:
        trainer.process.kill()
        trainer.process.wait()
        trainer.process.stdout.close()
        trainer.process.stderr.close()


def test_sigterm_then_sigkill_then_resume_equals_a_run_that_nobody_touched(make_run, start):
    whole, broken = make_run(name="whole", **LONG), make_run(name="broken", **LONG)
    untouched = start(whole)

    asked = start(broken)
    asked.until("step", 12)
    asked.process.send_signal(signal.SIGTERM)
    assert asked.end() == 0
    stopped = asked.events[-1]
    assert stopped["type"] == "stopped"
    assert asked.events.of("checkpoint")[-1]["step"] == stopped["step"]

    killed = start(broken)
    assert killed.until("start")["resumed_from"] == stopped["step"]
    killed.until("step", 60)
    killed.process.kill()
    killed.end()

    last = start(broken)
    assert last.until("start")["resumed_from"] == checkpoint_before(broken)
    assert last.end() == 0
    assert untouched.end() == 0
    assert last.events[-1]["path"] == "attempt-3/adapter"
    assert {**asked.events.losses, **killed.events.losses, **last.events.losses} == untouched.events.losses
    ours, theirs = (run / done["path"] for run, done in ((broken, last.events[-1]), (whole, untouched.events[-1])))
    for name in ("adapter_model.safetensors", "adapter.gguf"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def checkpoint_before(run_dir):
    """The furthest checkpoint that a killed attempt left whole."""
    return max(int(path.name.removeprefix("step-")) for path in run_dir.glob("attempt-2/checkpoints/step-*"))


def test_sigusr1_finishes_with_an_adapter(make_run, start):
    trainer = start(make_run(**LONG))
    trainer.until("step", 2)
    trainer.process.send_signal(signal.SIGUSR1)

    assert trainer.end() == 0
    done = trainer.events[-1]
    assert done["type"] == "done" and done["stopped_early"]


def test_a_full_disk_has_a_cause_and_keeps_what_was_saved(make_run, start):
    run_dir = make_run(**LONG)
    first = start(run_dir)
    saved = first.until("checkpoint")
    first.process.kill()
    first.end()

    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    second = start(run_dir, preexec_fn=limit)
    assert second.end() == 1
    error = second.events[-1]
    assert (error["type"], error["cause"]) == ("error", "disk")
    assert "Free some space" in error["message"] and "Traceback" not in error["message"]
    assert "Traceback" in error["detail"]
    checkpoint.verify(run_dir / saved["path"])
    assert not list(run_dir.glob("attempt-2/checkpoints/*"))


def test_too_little_memory_has_a_cause(make_run, start):
    rows = [{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "word " * 200}]}] * 8
    run_dir = make_run(rows, [], max_length=256, batch_size=8, **{**LONG, "evals": 0})
    trainer = start(run_dir)
    trainer.until("step", 1)
    used = int(Path(f"/proc/{trainer.process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(trainer.process.pid, resource.RLIMIT_AS, (used, used))

    assert trainer.end() == 1
    assert trainer.events[-1]["cause"] == "oom"
    assert "Lower the maximum length" in trainer.events[-1]["message"]


def test_it_dies_with_its_parent(make_run):
    """A worker that is killed leaves no trainer behind: nobody would read its events."""
    run_dir = make_run(**LONG)
    worker = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([*sys.argv[1:], '--parent', str(os.getpid())], stdout=subprocess.PIPE, text=True)\n"
        "print(child.pid, flush=True)\n"
        "for line in child.stdout: print(line, end='', flush=True)\n"
    )
    argv = [sys.executable, "-c", worker, *command(run_dir)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        trainer = int(parent.stdout.readline())
        while json.loads(parent.stdout.readline())["type"] != "step":
            pass
        parent.kill()
        deadline = time.monotonic() + 10
        while alive(trainer):
            assert time.monotonic() < deadline, "the trainer outlived its parent"


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_two_processes_share_a_run_and_reach_the_same_weights(make_run, start):
    """Under `accelerate launch`, gradients are added up over the processes: the same run within rounding."""
    alone, together = make_run(name="alone", epochs=2, evals=2), make_run(name="together", epochs=2, evals=2)
    single = start(alone)
    assert single.end() == 0
    argv = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    argv += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", *command(together)[2:]]
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr[-3000:]
    events = Events(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert events.of("done")
    for step, loss in events.losses.items():
        assert float.fromhex(loss) == pytest.approx(float.fromhex(single.events.losses[step]), abs=0.02)
