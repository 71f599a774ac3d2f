"""Can the web processes serve what a busy team clicks? Chats, prompts, runs and the data grid, with 100,000 rows in each table.

    python -m bench.page_mix [--rate 100] [--seconds 20] [--rounds 3] [--rows 100000] [--processes CORES] [--out FILE]

The whole stack runs as `make run` runs it, on a data folder of its own, filled with `rows` chat messages, prompt versions,
metric points and data rows. The load is an open model: a request leaves every 1/rate seconds whether or not the ones before it
were answered, and its time counts from that moment (Tene's "coordinated omission": a closed loop would forget the waiting).
Equal shares of: a chat, the list of prompts and a prompt, a run, a data set and a window of its rows. Load and server share
the cores, with as many web processes as cores (WEB_PROCESSES). A process draws a turn once for each reader
(workspace/templatetags/kept.py): of 200 chats, asked for 25 times a second, most have been drawn after the first round.
The promise is a 95th percentile of at most 100 ms.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from typing import Any

from bench import ROOT, Claim, options, report
from bench.prompt_pages import WORDS, fill, signed_in
from tests.stack import OWNER, running

PROMISE_MS = 100
TURNS = 40  # messages of a chat
STEPS = 500  # metric points of a run
MADE = 4000  # chat messages and data rows that are made; the others are copies


def fill_all(rows: int) -> None:
    """Runs beside the stack, in Django: a few of each are made as the studio makes them, the database copies these."""
    import django

    django.setup()
    from django.db import transaction
    from django.utils import timezone

    from jobs.ml.config import TrainConfig
    from jobs.models import Dataset, FineTune, Generation, LanguageModel, MetricPoint, Row
    from workspace.models import Chat, Message, User

    draw = random.Random(11)
    alice = User.objects.get(email=OWNER)
    team = alice.teams.get()
    model = LanguageModel.objects.get(team=None)
    now = timezone.now()

    def words(count: int) -> str:
        return " ".join(draw.choices(WORDS, k=count))

    done = {"state": "succeeded", "started_at": now, "finished_at": now, "queued_at": now}
    with transaction.atomic():
        chats = [Chat(team=team, author=alice, title=words(4), model=model) for _ in range(MADE // TURNS)]
        replies, messages = [], []
        for chat in chats:
            parent = None
            for turn in range(TURNS):
                if turn % 2:
                    reply = Generation(
                        team=team, author=alice, purpose="chat", model=model, messages=[], text=words(60),
                        completion_tokens=80, first_token_ms=90, total_ms=2000, finish_reason="stop", **done,
                    )  # fmt: skip
                    replies.append(reply)
                    parent = Message(chat=chat, parent=parent, role="assistant", generation=reply)
                else:
                    parent = Message(chat=chat, parent=parent, role="user", author=alice, text=words(12))
                messages.append(parent)
        dataset = Dataset.objects.create(team=team, author=alice, name="Mails", counts={"train": rows})
        said = [
            [{"role": "user", "content": words(20)}, {"role": "assistant", "content": words(20)}] for _ in range(MADE)
        ]
        data = [Row(dataset=dataset, position=at, split="train", messages=one) for at, one in enumerate(said)]
        metrics = {"train_loss": 1.5, "eval_loss": None, "best_step": STEPS, "trained_tokens": 90_000, "seconds": 90}
        metrics |= {"peak_memory_bytes": 2 * 10**9, "skipped_rows": 0, "truncated_rows": 0}
        runs = [
            FineTune(
                team=team, author=alice, name=words(2), base=model, dataset=dataset, config=TrainConfig().to_dict(),
                metrics=metrics, step=STEPS, total_steps=STEPS, **done,
            )
            for _ in range(rows // STEPS)
        ]  # fmt: skip
        points = [
            MetricPoint(finetune=runs[0], kind="train", step=step, loss=2 / (step + 1), learning_rate=1e-4, grad_norm=1)
            for step in range(STEPS)
        ]
        for made in (chats, replies, messages, data, runs, points):
            type(made[0])._default_manager.bulk_create(made, batch_size=1000)  # type: ignore[attr-defined]
        more = f"generate_series(1, {rows // MADE - 1}) AS n"

        def twin(column: str) -> str:  # of a row or of what it points at: always the same id
            return f"md5(one.{column}::text || n)::uuid"

        copy(Chat, more, id=twin("id"))
        copy(Generation, more, id=twin("id"))
        columns = ("id", "chat_id", "parent_id", "generation_id")
        copy(Message, more, **{column: twin(column) for column in columns})
        copy(Row, more, id=None, position=f"one.position + n * {MADE}")
        copy(MetricPoint, "jobs_finetune AS run WHERE run.id <> one.finetune_id", id=None, finetune_id="run.id")
    fill(rows // 10, 10)  # prints the team and its prompts' keys, vacuums and analyses the tables
    found = {"chats": list(Chat.objects.order_by("pk")[:200]), "runs": runs[:50]}
    keys = {name: [str(one.pk) for one in some] for name, some in found.items()}
    print(json.dumps({**keys, "dataset": str(dataset.pk), "rows": rows}))


def copy(model: Any, times: str, **changed: str | None) -> None:
    """Insert each row of a table again for each row of `times`, with some columns `changed`; None: as the table makes it."""
    from django.db import connection

    columns = [field.column for field in model._meta.concrete_fields]
    taken = {name: changed.get(name, f"one.{name}") for name in columns if changed.get(name, "") is not None}
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({', '.join(taken)}) "
            f"SELECT {', '.join(map(str, taken.values()))} FROM {model._meta.db_table} AS one CROSS JOIN {times}"
        )


class Browser:
    """Keep-alive connections with a session's cookies. A connection carries one request at a time."""

    def __init__(self, port: int, cookies: str) -> None:
        self.port = port
        self.head = f"Host: 127.0.0.1:{port}\r\nCookie: {cookies}\r\nAccept: text/html\r\n"
        self.free: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []  # and since when

    async def get(self, path: str) -> int:
        """The bytes of the whole answer, which must be a 200."""
        reader, writer = await self.connection()
        fragment = "HX-Request: true\r\n" if "rows" in path else ""
        writer.write(f"GET {path} HTTP/1.1\r\n{self.head}{fragment}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), (path, head.decode())
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        self.free.append((time.monotonic(), reader, writer))
        return length

    async def connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One that was used a moment ago: the server closes them after five quiet seconds."""
        while self.free:
            since, reader, writer = self.free.pop()
            if time.monotonic() - since < 3:
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)


async def load(browser: Browser, paths: list[tuple[str, str]], rate: float) -> dict[str, list[float]]:
    """Milliseconds that each page took from the moment it was due."""
    took: dict[str, list[float]] = defaultdict(list)
    began = time.perf_counter() + 0.1

    async def one(at: int, name: str, path: str) -> None:
        due = began + at / rate
        await asyncio.sleep(due - time.perf_counter())
        await browser.get(path)
        took[name].append(1000 * (time.perf_counter() - due))

    await asyncio.gather(*(one(at, *page) for at, page in enumerate(paths)))
    return took


def mix(base: str, keys: dict[str, Any], prompts: list[str], count: int, draw: random.Random) -> list[tuple[str, str]]:
    pages = [
        ("chat", lambda: f"{base}chat/{draw.choice(keys['chats'])}/"),
        ("prompts", lambda: f"{base}prompts/"),
        ("run", lambda: f"{base}finetunes/{draw.choice(keys['runs'])}/"),
        ("data set", lambda: f"{base}data/{keys['dataset']}/"),
        ("chat", lambda: f"{base}chat/{draw.choice(keys['chats'])}/"),
        ("prompt", lambda: f"{base}prompts/{draw.choice(prompts)}/"),
        ("run", lambda: f"{base}finetunes/{draw.choice(keys['runs'])}/"),
        ("rows", lambda: f"{base}data/{keys['dataset']}/rows/?from={draw.randrange(keys['rows'])}"),
    ]
    return [(name, path()) for name, path in (pages[at % len(pages)] for at in range(count))]


def p95(found: list[float]) -> float:
    return statistics.quantiles(found, n=20)[18]


def main() -> None:
    given = options(
        __doc__, rate=100.0, seconds=20.0, rounds=3, rows=100_000, processes=len(os.sched_getaffinity(0)), fill=0
    )
    if given.fill:
        fill_all(given.fill)
        return
    os.environ["WEB_PROCESSES"] = str(given.processes)
    with running() as stack:
        began = time.monotonic()
        filled = subprocess.run(
            [sys.executable, "-m", "bench.page_mix", "--fill", str(given.rows)], cwd=ROOT, check=True, text=True,
            stdout=subprocess.PIPE, env={**stack.env, "DJANGO_SETTINGS_MODULE": "llmstudio.settings"},
        )  # fmt: skip
        (team, prompts), keys = (json.loads(line) for line in filled.stdout.splitlines()[-2:])
        print(f"filled in {time.monotonic() - began:.0f} s", flush=True)
        cookies = "; ".join(f"{one.name}={one.value}" for one in signed_in(stack).cookies.jar)
        draw = random.Random(5)

        def paths(seconds: float) -> list[tuple[str, str]]:
            return mix(f"/t/{team}/", keys, prompts, int(seconds * given.rate), draw)

        async def rounds() -> list[dict[str, list[float]]]:
            browser = Browser(stack.port, cookies)
            # The warm-up: one after the other, and then on many connections, which reach each process.
            for _, path in paths(1):
                await browser.get(path)
            await load(browser, paths(min(5, given.seconds)), given.rate)
            return [await load(browser, paths(given.seconds), given.rate) for _ in range(given.rounds)]

        turns = asyncio.run(rounds())
    everything = [p95([one for some in turn.values() for one in some]) for turn in turns]
    name = f"page mix at {given.rate:g} requests/s"
    claims = [Claim(name, "ms at p95", everything, at_most=PROMISE_MS)]
    claims += [Claim(page, "ms at p95", [p95(turn[page]) for turn in turns]) for page in turns[0]]
    report(claims, {"rows": given.rows, "web_processes": given.processes}, given.out)


if __name__ == "__main__":
    main()
