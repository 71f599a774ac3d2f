"""What do rows in a database cost beside plain messages? Enqueueing, and the start of a job that does nothing.

    python -m bench.durable_jobs [--jobs 300] [--rounds 3] [--steady 100]

Ours: a reply is asked for in a transaction of its own (row, commit, doorbell), as the API and chat do; the infer worker of
the running stack claims it and has it made by an upstream that answers with one token at once. Peer: `delay()` of an empty
task of a bare Celery app with our settings, whose solo worker runs beside it on the same Valkey; nothing of it survives a
Valkey that is lost. In turns: `--jobs` are enqueued as fast as one producer can, then waited for. Then `--steady` jobs come at
20 a second, and the time to each one's start is taken. Promised: 0.3 of the peer's rate, and a start within 1 s (95th
percentile).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import redis
from celery import Celery

from bench import Claim, in_turns, options, report, versions
from bench._cast import cast
from bench._streams import upstream
from tests.stack import ROOT, running

PATIENCE = 120
RATE = 20  # steady jobs a second
STARTS = "bench:starts"

url = os.environ.get("BENCH_BROKER", "redis://")
app = Celery("bench", broker=url.replace("unix://", "redis+socket://", 1))
app.conf.update(
    task_ignore_result=True, task_serializer="json", accept_content=["json"], worker_prefetch_multiplier=1,
    worker_enable_remote_control=False, task_default_queue="bench",
)  # fmt: skip


@app.task(name="bench.nothing")
def nothing(sent: float) -> None:
    """An empty job, but for saying how long after it was enqueued it began."""
    store().rpush(STARTS, time.monotonic() - sent)


def store() -> redis.Redis:
    global _store
    _store = _store or redis.Redis.from_url(url)
    return _store


_store: redis.Redis | None = None


class Messages:
    """The peer."""

    def enqueue(self, jobs: int) -> None:
        store().delete(STARTS)
        for _ in range(jobs):
            nothing.delay(time.monotonic())

    def starts(self, jobs: int) -> list[float]:
        while store().llen(STARTS) < jobs:
            time.sleep(0.005)
        return [float(start) for start in store().lrange(STARTS, 0, -1)]


class Rows:
    """Ours."""

    def __init__(self) -> None:
        from jobs.models import Generation, LanguageModel
        from workspace.models import Team

        self.generations = Generation.objects
        model, team = LanguageModel.objects.get(key="upstream"), Team.objects.order_by("pk").last()
        messages = [{"role": "user", "content": "Nothing."}]
        self.asked: list[Any] = []

        def ask() -> Any:
            return Generation.ask(
                team=team, author=None, purpose="api", model=model, adapter=None, messages=messages, params={}
            ).pk  # fmt: skip

        self.ask: Callable[[], Any] = ask

    def enqueue(self, jobs: int) -> None:
        self.asked = []
        for _ in range(jobs):
            self.asked.append(self.ask())

    def starts(self, jobs: int) -> list[float]:
        rows = self.generations.filter(pk__in=self.asked)
        while rows.filter(finished_at=None).exists():
            time.sleep(0.02)
        assert not rows.exclude(state="succeeded").exists(), rows.exclude(state="succeeded").first().message
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
    store().delete(STARTS)
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


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*map(int, sys.argv[2:]))))
        return
    given = options(__doc__, jobs=300, rounds=3, steady=100)
    with upstream(1000, 1, 0.0) as port, running() as stack:
        cast(stack, upstream=f"http://127.0.0.1:{port}/v1")
        from llmstudio.embedded import redis_url

        broker = redis_url(stack.home)
        env = {**stack.env, "DJANGO_SETTINGS_MODULE": "llmstudio.settings", "BENCH_BROKER": broker}
        command = [
            "celery",
            "--quiet",
            "-A",
            "bench.durable_jobs",
            "worker",
            "--pool",
            "solo",
            "-Q",
            "bench",
            "-n",
            "bench@%h",
        ]
        more = ["--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        worker = subprocess.Popen([sys.executable, "-m", *command, *more], cwd=ROOT, env=env)
        try:
            numbers = [str(given.jobs), str(given.rounds), str(given.steady)]
            done = subprocess.run(
                [sys.executable, "-m", "bench.durable_jobs", "--measure", *numbers], cwd=ROOT, env=env, text=True,
                stdout=subprocess.PIPE, check=True, timeout=PATIENCE * given.rounds,
            )  # fmt: skip
        finally:
            worker.terminate()
            worker.wait(20)
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
