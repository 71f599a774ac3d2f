"""How fast does one web process hand out a prompt by its label? Whole answers and ETag hits, against two named peers.

    python -m bench.prompt_fetch [--requests 3000] [--rounds 3] [--out FILE]

The studio's web process runs as `make run` starts it, over a real PostgreSQL and Valkey in a fresh data folder. Peers, in
the same run on the same machine, send the same bytes without looking anything up: a bare uvicorn ASGI app, and a bare
Django asynchronous view without any middleware. Load comes from one process over 16 keep-alive connections; the rounds
are interleaved and the median counts. The promise: at least 300 whole answers and 1,000 ETag hits a second.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench import Claim, report
from bench._peers import peer, server
from llmstudio.embedded import Postgres, Valkey, socket_dir
from llmstudio.supervisor import web_command
from tests.stack import ROOT, free_port

CONNECTIONS = 16
fresh = itertools.count()  # makes an address that was never asked for
PATH = "/api/public/v2/prompts/support%2Fanswer?label=production"
MAKE = """
from workspace.models import *
alice = User.objects.create_user("alice@example.com", "x")
team = Team.found("Bench", alice)
text = "You answer customers of {{company}} in {{language}}. Be brief and exact. " * 20
prompt = Prompt.start(team=team, author=alice, name="support/answer", tags=["support"], config={"temperature": 0.2},
    messages=[{"role": "system", "content": text}, {"role": "user", "content": "{{question}}"}])
PromptLabel.move(prompt.find(version=1), "production", by=team.memberships.get())
print(ApiKey.issue(team=team, user=alice, name="bench")[1])
"""


async def load(port: int, path: str, requests: int, status: int, **headers: str) -> tuple[float, list[float]]:
    """Requests per second, and the seconds that each took. Every answer's status is checked."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    took: list[float] = []
    left = requests

    async def one_connection() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left > 0:
            left -= 1
            request = f"GET {path.format(n=next(fresh))} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode()
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 %d" % status):
                raise SystemExit(head.decode())
            _, found, rest = head.lower().partition(b"content-length: ")
            if found:
                await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
            took.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))
    return len(took) / (time.perf_counter() - began), took


def fetched(port: int, **headers: str) -> tuple[str, bytes]:
    """The prompt once, by curl's standard-library cousin: its ETag and body."""
    from urllib.request import Request, urlopen

    with urlopen(Request(f"http://127.0.0.1:{port}{PATH}", headers=headers)) as answer:
        return answer.headers["ETag"], answer.read()


@contextmanager
def studio() -> Iterator[tuple[int, str]]:
    """One web process with its services, and a key."""
    home = Path(tempfile.mkdtemp(prefix="studio-bench-")).resolve()
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL", "STUDIO_URL")}
    env |= {"STUDIO_HOME": str(home), "PORT": str(port)}
    postgres, valkey = Postgres(home), Valkey(home)
    try:
        postgres.start()
        valkey.start()
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "-v", "0"], cwd=ROOT, env=env, check=True)
        made = subprocess.run(
            [*manage, "shell", "-v", "0", "-c", MAKE], cwd=ROOT, env=env, check=True, capture_output=True, text=True
        )
        with server(web_command("127.0.0.1", port), port, env):
            yield port, made.stdout.strip().splitlines()[-1]
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(socket_dir(home), ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with ExitStack() as stack:
        port, key = stack.enter_context(studio())
        authorization = f"Bearer {key}"
        etag, body = fetched(port, Authorization=authorization)
        asgi, django = (stack.enter_context(peer(name, body)) for name in ("bare", "bare_django"))
        runs: dict[str, Any] = {
            "by_label": (port, PATH, 200, {"authorization": authorization}),
            "by_label_never_asked_before": (port, PATH + "&n={n}", 200, {"authorization": authorization}),
            "etag_hit": (port, PATH, 304, {"authorization": authorization, "if_none_match": etag}),
            "peer_bare_asgi": (asgi, "/answer", 200, {}),
            "peer_bare_django": (django, "/answer", 200, {}),
        }
        rates: dict[str, list[float]] = {name: [] for name in runs}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for round_ in range(options.rounds + 1):
            for name, (at, path, status, headers) in runs.items():
                count = options.requests // 5 if "{n}" in path else options.requests
                count = count if round_ else 300  # the first round warms up
                rate, took = asyncio.run(load(at, path, count, status, **headers))
                if round_:
                    rates[name].append(rate)
                    times[name] += took
    peers = {"bare Django view": rates["peer_bare_django"], "bare uvicorn app": rates["peer_bare_asgi"]}
    claims = [
        Claim("requests by label", "requests/s", rates["by_label"], at_least=300),
        Claim("ETag hits", "requests/s", rates["etag_hit"], at_least=1000),
        Claim("by label, never asked before", "requests/s", rates["by_label_never_asked_before"]),
        *(Claim("requests by label", "requests/s", rates["by_label"], name, peer) for name, peer in peers.items()),
    ]
    p95 = {name: round(1000 * statistics.quantiles(took, n=20)[18], 1) for name, took in times.items()}
    report(claims, {"answer_bytes": len(body), "p95_ms": p95}, options.out)


if __name__ == "__main__":
    main()
