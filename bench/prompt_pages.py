"""How long do the pages of prompts take with 10,000 prompts and 100,000 versions in one team?

    python -m bench.prompt_pages [--requests 150] [--prompts 10000] [--versions 10] [--out FILE]

The whole stack runs as `make run` runs it, on a data folder of its own; one person, signed in through the page, asks for one
page after the other over HTTP: the list, its next page, a folder, searches for common and seldom words, a prompt, an old
version. Peer, in the same run and in turns with it: a bare Django view (ASGI, no middleware, no database) that returns a
page of the list's size. The promise is a 95th percentile below 100 ms for each.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench import Claim, report
from bench._peers import peer
from tests.stack import OWNER, PASSWORD, ROOT, Stack, running

PROMISE_MS = 100
SYLLABLES = "an be cor da el fi gor ha im jo ka lum mi nor op pre qui ra sol ter un vo wen xi za".split()  # noqa: SIM905 - read as a line
# 3,000 words that are used as words are: the n-th most common one 1/n as often as the first.
WORDS = random.Random(1).sample([a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES], 3000)
SHARES = list(itertools.accumulate(1 / rank for rank in range(1, len(WORDS) + 1)))
EVERYWHERE, COMMON, SELDOM = WORDS[:5], WORDS[30:60], WORDS[1000:2000]  # in 9 of 10 prompts; in a sixth; in a hundredth
FIELDS = ["name", "word", "tone", "audience"]


def fill(prompts: int, versions: int) -> None:
    """Runs beside the stack, in Django: one team's library, made in bulk."""
    import django

    django.setup()
    from django.contrib.postgres.search import SearchVector
    from django.db import connection, models, transaction

    from workspace.models import Prompt, PromptLabel, PromptVersion, User

    draw = random.Random(7)
    alice = User.objects.get(email=OWNER)
    team = alice.teams.get()

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS, cum_weights=SHARES, k=words)) + f" about {{{{{draw.choice(FIELDS)}}}}}."

    with transaction.atomic():
        made = [
            Prompt(
                team=team, author=alice, name=f"{WORDS[n % 40]}/{WORDS[n // 40 % 25]}/{draw.choice(SELDOM)}-{n}",
                description=text(8), tags=draw.sample(WORDS[:30], 2), latest=versions,
            )
            for n in range(prompts)
        ]  # fmt: skip
        Prompt.objects.bulk_create(made, batch_size=1000)
        for number in range(1, versions + 1):
            rows = [
                PromptVersion(
                    prompt=prompt, number=number, author=alice, note=f"Save {number}",
                    messages=[{"role": "system", "content": text(40)}, {"role": "user", "content": text(20)}],
                    variables=[{"name": name, "type": "text"} for name in FIELDS],
                )
                for prompt in made
            ]  # fmt: skip
            PromptVersion.objects.bulk_create(rows, batch_size=2000)
            if number == 1:
                labelled = [PromptLabel(prompt=row.prompt, name="production", version=row) for row in rows[::2]]
                PromptLabel.objects.bulk_create(labelled, batch_size=2000)
        alice.favourite_prompts.add(*made[:20])
        newest = PromptVersion.objects.filter(prompt=models.OuterRef("pk"), number=models.OuterRef("latest"))
        body = newest.values(said=models.functions.Cast("messages", models.TextField()))[:1]
        Prompt.objects.update(
            search=SearchVector("name", config="simple", weight="A")
            + SearchVector(models.Value(""), config="simple", weight="B")
            + SearchVector("description", config="simple", weight="C")
            + SearchVector(models.Subquery(body), config="simple", weight="D")
        )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # as tables are after a day; autovacuum would do it in the middle of the bench
    picked = draw.sample(made, min(200, prompts))
    print(json.dumps([team.slug, [str(prompt.pk) for prompt in picked]]))


def signed_in(stack: Stack) -> httpx.Client:
    client = httpx.Client(base_url=stack.url, follow_redirects=True, timeout=30)
    form = client.get("/accounts/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
    assert token
    answer = client.post(
        form.url, data={"login": OWNER, "password": PASSWORD, "csrfmiddlewaretoken": token[1]},
        headers={"Referer": str(form.url)},
    )  # fmt: skip
    assert "/t/" in str(answer.url), answer.url
    return client


def took(client: httpx.Client, url: str, **headers: str) -> tuple[float, httpx.Response]:
    """Milliseconds until the whole page is there."""
    began = time.perf_counter()
    answer = client.get(url, headers=headers)
    milliseconds = 1000 * (time.perf_counter() - began)
    assert answer.status_code == 200, (url, answer.status_code)
    return milliseconds, answer


def figures(found: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(found, n=20)
    return {
        "p50_ms": round(cuts[9], 1),
        "p95_ms": round(cuts[18], 1),
        "min_ms": round(min(found), 1),
        "max_ms": round(max(found), 1),
    }


def measure(stack: Stack, team: str, keys: list[str], requests: int, versions: int) -> dict[str, Any]:
    client = signed_in(stack)
    library = f"/t/{team}/prompts/"
    draw = random.Random(3)
    _, first = took(client, library)
    next_page = re.search(r'\?[^"]*after=[^"]+', first.text)
    htmx = {"HX-Request": "true"}
    pages: dict[str, tuple[Callable[[], str], dict[str, str]]] = {
        "list": (lambda: library, {}),
        "next page of the list": (lambda: library + next_page[0].replace("&amp;", "&") if next_page else library, htmx),
        "folder": (lambda: f"{library}?folder={draw.choice(WORDS[:40])}", {}),
        "search, a word in nearly every prompt": (lambda: f"{library}?q={draw.choice(EVERYWHERE)}", {}),
        "search, a common word": (lambda: f"{library}?q={draw.choice(COMMON)}", {}),
        "search, a seldom word": (lambda: f"{library}?q={draw.choice(SELDOM)}", {}),
        "search, the beginnings of two": (
            lambda: f"{library}?q={draw.choice(COMMON)[:4]}+{draw.choice(SELDOM)[:4]}",
            {},
        ),
        "open a prompt": (lambda: f"{library}{draw.choice(keys)}/", {}),
        "open an old version": (lambda: f"{library}{draw.choice(keys)}/v/{draw.randint(1, versions)}/", {}),
    }
    times: dict[str, list[float]] = {name: [] for name in (*pages, "peer")}
    size = len(first.content)
    with peer("bare_django", first.content) as port, httpx.Client() as other:
        for turn in range(requests + 5):
            for name, (url, headers) in pages.items():
                milliseconds, _ = took(client, url(), **headers)
                if turn >= 5:  # the first are the warm-up
                    times[name].append(milliseconds)
            milliseconds, _ = took(other, f"http://127.0.0.1:{port}/answer")
            if turn >= 5:
                times["peer"].append(milliseconds)
    found = {name: figures(milliseconds) for name, milliseconds in times.items()}
    bare_ms = found.pop("peer")
    return {
        "page_bytes": size,
        "pages": found,
        "peer_bare_django": bare_ms,
        "ratio_of_medians": {name: round(page["p50_ms"] / bare_ms["p50_ms"], 1) for name, page in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=150)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=10)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--fill", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        fill(options.prompts, options.versions)
        return
    with running() as stack:
        began = time.monotonic()
        sizes = ["--prompts", str(options.prompts), "--versions", str(options.versions)]
        filled = subprocess.run(
            [sys.executable, "-m", "bench.prompt_pages", "--fill", *sizes], cwd=ROOT, check=True, stdout=subprocess.PIPE,
            env={**stack.env, "DJANGO_SETTINGS_MODULE": "llmstudio.settings"}, text=True,
        )  # fmt: skip
        team, keys = json.loads(filled.stdout.splitlines()[-1])
        result = {
            "prompts": options.prompts,
            "versions": options.prompts * options.versions,
            "filled_in_seconds": round(time.monotonic() - began, 1),
            "requests_of_each": options.requests,
            **measure(stack, team, keys, options.requests, options.versions),
        }
    pages = result["pages"].items()
    report(
        [Claim(name, "ms at p95", [page["p95_ms"]], at_most=PROMISE_MS) for name, page in pages], result, options.out
    )


if __name__ == "__main__":
    main()
