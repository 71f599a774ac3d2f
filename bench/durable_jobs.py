"""What do rows in a database cost beside plain messages? Enqueueing, and the start of a job that does nothing.

    python -m bench.durable_jobs [--jobs 300] [--rounds 3] [--steady 100]

Ours: a reply is asked for in a transaction of its own (row, commit, doorbell), as the API and chat do it; a worker hears
the doorbell, claims the row by its fence and finishes it, with nothing in between: an infer worker without an engine. Peer:
`delay()` of an empty task of a bare Celery app with our settings, solo worker, same Valkey; nothing of it survives a Valkey
that is lost. In turns, `--jobs` are enqueued as fast as one producer can, then waited for. Then `--steady` jobs come at 20 a
second, and the time to each one's start is taken. Promised: 0.3 of the peer's rate, and a start within 1 s (95th
percentile).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from celery import Celery, signals

from bench import Claim, in_turns, options, report, versions
from llmstudio.embedded import Postgres, Valkey, redis_url, socket_dir
from tests.stack import ROOT

PATIENCE = 30  # seconds for a round
RATE = 20  # steady jobs a second
STARTS = "bench:starts"
AS_SOLO = ["--pool", "solo", "--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]

url = os.environ.get("BENCH_BROKER", "redis://")
store = redis.Redis.from_url(url)
app = Celery("bench", broker=url.replace("unix://", "redis+socket://", 1))
app.conf.update(
    task_ignore_result=True, task_serializer="json", accept_content=["json"], worker_prefetch_multiplier=1,
    worker_enable_remote_control=False, task_default_queue="bench",
)  # fmt: skip


@app.task(name="bench.nothing")
def nothing(sent: float) -> None:
    """An empty job, but for saying how long after it was enqueued it began."""
    store.rpush(STARTS, time.monotonic() - sent)


class Empty:
    """A runner whose jobs are done as soon as they are claimed."""

    pause = 1.0

    def look(self) -> None:
        from jobs.models import Generation, State

        while claimed := Generation.objects.claim("bench", limit=20):
            for job in claimed:
                job.finish(State.SUCCEEDED)

    def facts(self) -> dict[str, Any]:
        return {}

    def stop(self) -> None:
        """Nothing is held."""


def without_an_engine(**_: Any) -> None:
    from jobs.runners import worker

    worker.runner_for = lambda *_: Empty()


if os.environ.get("STUDIO_WORKER"):  # our worker: before the product's own handler starts the runner
    signals.worker_init.connect(without_an_engine)
    from llmstudio.celery import app as ours  # noqa: F401 - what its command names


class Messages:
    """The peer."""

    def enqueue(self, jobs: int) -> None:
        store.delete(STARTS)
        for _ in range(jobs):
            nothing.delay(time.monotonic())

    def starts(self, jobs: int) -> list[float]:
        while store.llen(STARTS) < jobs:
            time.sleep(0.005)
        return [float(start) for start in store.lrange(STARTS, 0, -1)]


class Rows:
    """Ours."""

    def __init__(self) -> None:
        from jobs.models import LanguageModel
        from workspace.models import Team, User

        self.model = LanguageModel.objects.create(key="bench", name="Bench")
        self.team = Team.found("Bench", User.objects.create_user("bench@example.com"))
        self.asked: list[Any] = []

    def ask(self) -> Any:
        from jobs.models import Generation

        asked = {"model": self.model, "adapter": None, "messages": [{"role": "user", "content": "Nothing."}]}
        return Generation.ask(team=self.team, author=None, purpose="api", params={}, **asked).pk

    def enqueue(self, jobs: int) -> None:
        self.asked = [self.ask() for _ in range(jobs)]

    def starts(self, jobs: int) -> list[float]:
        from jobs.models import Generation

        rows = Generation.objects.filter(pk__in=self.asked)
        while rows.filter(finished_at=None).exists():
            time.sleep(0.02)
        assert rows.filter(state="succeeded").count() == jobs
        return [(row.started_at - row.queued_at).total_seconds() for row in rows]


def burst(side: Messages | Rows, jobs: int) -> dict[str, float]:
    began = time.monotonic()
    side.enqueue(jobs)
    enqueued = time.monotonic() - began
    side.starts(jobs)
    return {"enqueued_per_s": jobs / enqueued, "done_per_s": jobs / (time.monotonic() - began)}


def steady(side: Messages | Rows, jobs: int) -> list[float]:
    """Seconds to the start of each of `jobs` that come one by one."""
    ids: list[Any] = []
    began = time.monotonic()
    store.delete(STARTS)
    for number in range(jobs):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        if isinstance(side, Rows):
            ids.append(side.ask())
        else:
            nothing.delay(time.monotonic())
    if isinstance(side, Rows):
        side.asked = ids
    return side.starts(jobs)


def measure(jobs: int, rounds: int, steady_jobs: int) -> dict[str, Any]:
    """Runs beside the stack, in Django."""
    import django

    django.setup()
    rows, messages = Rows(), Messages()
    for side in (rows, messages):  # warm-up
        burst(side, 20)
    ours, peer = in_turns(lambda: burst(rows, jobs), lambda: burst(messages, jobs), rounds)
    starts = in_turns(lambda: steady(rows, steady_jobs), lambda: steady(messages, steady_jobs), 1)
    return {"ours": ours, "peer": peer, "starts": [starts[0][0], starts[1][0]]}


@contextmanager
def stores() -> Iterator[dict[str, str]]:
    """A database and a Valkey of their own: the environment of what runs on them."""
    home = Path(tempfile.mkdtemp(prefix="studio-bench-")).resolve()
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL", "STUDIO_URL")}
    env |= {"STUDIO_HOME": str(home), "DJANGO_SETTINGS_MODULE": "llmstudio.settings", "BENCH_BROKER": redis_url(home)}
    postgres, valkey = Postgres(home), Valkey(home)
    try:
        postgres.start()
        valkey.start()
        subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=env, check=True)
        yield env
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(socket_dir(home), ignore_errors=True)


@contextmanager
def worker(env: dict[str, str], celery_app: str, queue: str) -> Iterator[None]:
    command = [sys.executable, "-W", "ignore", "-m", "celery", "--quiet", "-A", celery_app, "worker", *AS_SOLO]
    process = subprocess.Popen([*command, "-Q", queue, "-n", f"{queue}@%h"], cwd=ROOT, env=env)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*map(int, sys.argv[2:]))))
        return
    given = options(__doc__, jobs=300, rounds=3, steady=100)
    with (
        stores() as env,
        worker({**env, "STUDIO_WORKER": "infer"}, "bench.durable_jobs:ours", "infer"),
        worker(env, "bench.durable_jobs:app", "bench"),
    ):
        numbers = [str(given.jobs), str(given.rounds), str(given.steady)]
        done = subprocess.run(
            [sys.executable, "-m", "bench.durable_jobs", "--measure", *numbers], cwd=ROOT, env=env, text=True,
            stdout=subprocess.PIPE, check=True, timeout=PATIENCE * given.rounds,
        )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    ours, peer = found["ours"], found["peer"]
    start = [1000 * statistics.quantiles(side, n=20)[18] for side in found["starts"]]
    name = "plain Celery task"
    claims = [
        Claim("jobs enqueued a second, one producer", "/s", [turn["enqueued_per_s"] for turn in ours],
              name, [turn["enqueued_per_s"] for turn in peer], at_least=0.3),
        Claim("jobs enqueued and done a second", "/s", [turn["done_per_s"] for turn in ours],
              name, [turn["done_per_s"] for turn in peer]),
        Claim(f"start of a job at {RATE} a second, 95th percentile", "ms", [start[0]], at_most=1000),
        Claim("the same against a plain task", "ms", [start[0]], name, [start[1]]),
    ]  # fmt: skip
    report(claims, {**found, "versions": versions("celery", "redis", "django", "psycopg")}, given.out)


if __name__ == "__main__":
    main()
