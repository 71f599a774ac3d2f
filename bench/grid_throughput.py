"""Does a grid of 100 cells keep the engine as full as 100 plain requests do?

    python -m bench.grid_throughput [--cells 100] [--rounds 3] [--max-tokens 8] [--out FILE]

The real chat worker over the real model, on a data folder of its own. In turns (A B, B A, ...): a grid of 10 prompts by 10 inputs
is run as the playground's button runs it, and as many plain requests with the very same messages are queued, as chat and the
API queue them. Throughput is completion tokens over the time from asking to the last answer's end, asking included; the
engine's fullness is the mean number of replies it held meanwhile, from their own start and end times. The promise is at least 0.95 of the plain
requests' throughput.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import Claim, report
from tests.stack import OWNER, ROOT, running

MODEL = "smollm2-135m-instruct"
PROMISE = 0.95
PATIENCE = 120  # seconds for one run


def measure(cells: int, rounds: int, max_tokens: int) -> dict[str, Any]:
    """Runs beside the stack, in Django."""
    import django

    django.setup()
    from django.db import transaction

    from jobs.models import Generation, LanguageModel, Worker
    from jobs.models.lifecycle import FINAL
    from workspace.models import Grid, GridCell, GridColumn, GridInput, Prompt, User

    alice = User.objects.get(email=OWNER)
    team = alice.teams.get()
    model = LanguageModel.objects.get(key=MODEL)
    side = round(cells**0.5)
    params = {"max_tokens": max_tokens, "temperature": 0}
    grid = Grid.objects.create(team=team, author=alice, name="Bench")
    columns = []
    for at in range(side):
        messages = [{"role": "user", "content": f"Tell me fact number {at + 1} about {{{{topic}}}}, in one sentence."}]
        version = Prompt.start(team=team, author=alice, name=f"bench/{at}", messages=messages).versions.get()
        columns.append(
            GridColumn.objects.create(grid=grid, position=at, prompt_version=version, model=model, params=params)
        )
    for at in range(side):
        GridInput.objects.create(grid=grid, position=at, values={"topic": f"the number {at + 7}"})

    def as_grid() -> list[Any]:
        run = grid.start_run(alice)
        return list(GridCell.objects.filter(column__grid=grid, run=run).values_list("generation_id", flat=True))

    def as_requests() -> list[Any]:
        with transaction.atomic():
            return [
                Generation.ask(
                    team=team, author=alice, purpose="chat", model=model, adapter=None, params=params, messages=asked
                ).pk
                for asked in wanted
            ]  # fmt: skip

    def timed(ask: Any) -> dict[str, float]:
        began = time.monotonic()
        ids = ask()
        asked = time.monotonic()
        while Generation.objects.filter(pk__in=ids).exclude(state__in=FINAL).exists():
            if time.monotonic() - began > PATIENCE:
                raise SystemExit(f"No end after {PATIENCE} s.")
            time.sleep(0.05)
        done = list(Generation.objects.filter(pk__in=ids))
        assert all(one.state == "succeeded" for one in done), [one.message for one in done if one.message]
        # from the first question to the last answer, by the database's own clock for all of them
        lasted = (max(one.finished_at for one in done) - min(one.started_at for one in done)).total_seconds()
        lasted += asked - began
        busy = sum((one.finished_at - one.started_at).total_seconds() for one in done)
        tokens = sum(one.completion_tokens for one in done)
        return {
            "tokens_per_second": round(tokens / lasted, 1),
            "seconds": round(lasted, 2),
            "asking_seconds": round(asked - began, 3),
            "tokens": tokens,
            "mean_in_flight": round(busy / lasted, 2),
        }

    grid.start_run(alice, columns=columns[:1])  # warm-up
    while GridCell.objects.filter(column__grid=grid).unfinished().exists():
        time.sleep(0.1)
    inputs = list(grid.inputs.all())
    wanted = [column.prompt_version.render(line.values).messages for line in inputs for column in columns]
    turns: dict[str, list[dict[str, float]]] = {"grid": [], "requests": []}
    for turn in range(rounds):
        pair = [("grid", as_grid), ("requests", as_requests)]
        for name, ask in pair if turn % 2 == 0 else reversed(pair):  # whatever drifts, drifts for both
            turns[name].append(timed(ask))
    facts = Worker.objects.alive().get(kind="infer").facts
    return {
        "cells": side * side,
        "max_tokens": max_tokens,
        "engine": facts["engine"],
        "capacity": facts["capacity"],
        "threads": facts["threads"],
        **turns,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=8)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.cells, options.rounds, options.max_tokens)))
        return
    sizes = [f"--cells={options.cells}", f"--rounds={options.rounds}", f"--max-tokens={options.max_tokens}"]
    with running() as stack:
        measured = subprocess.run(
            [sys.executable, "-m", "bench.grid_throughput", "--measure", *sizes], cwd=ROOT, check=True, text=True,
            stdout=subprocess.PIPE, env={**stack.env, "DJANGO_SETTINGS_MODULE": "llmstudio.settings"},
        )  # fmt: skip
    found = json.loads(measured.stdout.splitlines()[-1])
    grid, plain = (
        {key: [turn[key] for turn in found[name]] for key in ("tokens_per_second", "mean_in_flight")}
        for name in ("grid", "requests")
    )
    report(
        [
            Claim(
                "throughput of a grid", "tokens/s", grid["tokens_per_second"],
                "plain requests", plain["tokens_per_second"], at_least=PROMISE,
            ),
            Claim("replies held meanwhile", "", grid["mean_in_flight"], "plain requests", plain["mean_in_flight"]),
        ],
        found,
        options.out,
    )  # fmt: skip


if __name__ == "__main__":
    main()
