"""Our llama.cpp engine against llama.cpp's own server, same wheel and same weights: how fast do replies come?

    python -m bench.streams [--rounds 3] [--tokens 48]

Each runs in a process of its own, told the same prompts (token ids) in turns, greedy. Ours as the chat worker opens it;
the peer at the wheel's defaults but for the number of threads (all cores) and a place for each of 32 streams.
Promised against the peer: one stream 0.97 of the tokens/s, 8 and 32 streams the same tokens/s together, the first token
of a few-shot prompt of 650 tokens as soon. Promised against ourselves: a second request with the same 600 tokens before
it has its first token 5 times as soon as the first. Also shown: one stream with the threads that were measured to be
best (jobs/ml/engines/pace.py) against all.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import ROOT, Claim, in_turns, options, report, versions
from jobs.ml.template import load_template
from tests.stack import prepared_models

PEER = "llama.cpp server"
SYSTEM = "You sort messages from customers by their subject. Answer with one word."
SHOTS = 20


class Side:
    def __init__(self, name: str, base: Path) -> None:
        env = {key: value for key, value in os.environ.items() if "OMP_" not in key}
        command = [sys.executable, "-m", "bench._stream_child", name, str(base)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, prompts: list[list[int]], tokens: int) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        print(json.dumps([prompts, tokens]), file=self.process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


class Prompts:
    """Prompts that nothing has read before, the same for both sides: each asks for the numbers in the same order."""

    def __init__(self, base: Path, seed: int) -> None:
        self.template, self.random = load_template(str(base)), random.Random(seed)

    def number(self) -> int:
        return self.random.randrange(10**6, 10**7)

    def short(self) -> list[int]:
        text = f"{self.number()}: write a long story about a lighthouse keeper and the sea."
        return self.template.prompt_ids([{"role": "user", "content": text}])

    def long(self, ends: int = 1) -> list[list[int]]:
        """A few-shot prompt, with so many different last questions."""
        shown = [{"role": "system", "content": f"{self.number()} {SYSTEM}"}]
        for _ in range(SHOTS):
            shown.append({"role": "user", "content": f"Where is my parcel {self.number()}? It is a week late."})
            shown.append({"role": "assistant", "content": "Delivery"})
        asked = [f"I was charged twice for {self.number()}." for _ in range(ends)]
        return [self.template.prompt_ids([*shown, {"role": "user", "content": question}]) for question in asked]


def main() -> None:
    given = options(__doc__, rounds=3, tokens=48)
    base = prepared_models() / "smollm2-135m-instruct"
    ours, everything, peer = (Side(name, base) for name in ("ours", "all-threads", "peer"))
    mine, theirs, third = (Prompts(base, 7) for _ in range(3))
    length = len(mine.long()[0]), theirs.long(), third.long()

    def streams(side: Side, prompts: Prompts, count: int, what: str) -> Any:
        return lambda: side([prompts.short() for _ in range(count)], given.tokens)[what]

    def first(side: Side, prompts: Prompts) -> Any:
        return lambda: side(prompts.long(), 1)["first"][0]

    for side in (ours, everything, peer):
        side([Prompts(base, 1).short() for _ in range(2)], 4)
    claims = []
    for name, what, count, least in (
        ("one stream", "one", 1, 0.97),
        ("8 streams", "all", 8, 1.0),
        ("32 streams", "all", 32, 1.0),
    ):
        turns = in_turns(streams(ours, mine, count, what), streams(peer, theirs, count, what), given.rounds)
        claims.append(Claim(name, "tokens/s", turns[0], PEER, turns[1], at_least=least))
    turns = in_turns(streams(ours, mine, 1, "one"), streams(everything, third, 1, "one"), given.rounds)
    claims.append(Claim("one stream, threads by measurement", "tokens/s", turns[0], "all threads", turns[1]))
    turns = in_turns(
        lambda: ours([mine.short()], 1)["first"][0], lambda: peer([theirs.short()], 1)["first"][0], given.rounds
    )
    claims.append(Claim("first token, short prompt", "s", turns[0], PEER, turns[1]))
    turns = in_turns(first(ours, mine), first(peer, theirs), given.rounds)
    claims.append(Claim(f"first token, cold, {length[0]} tokens", "s", turns[0], PEER, turns[1], at_most=1.0))
    pairs = [[ours([prompt], 1)["first"][0] for prompt in mine.long(ends=2)] for _ in range(given.rounds)]
    without, reused = zip(*pairs, strict=True)
    claims.append(Claim("first token, prefix read before", "s", reused, "without", without, at_most=0.2))
    for side in (ours, everything, peer):
        side.close()
    report(claims, {"versions": versions("xllamacpp"), "threads": len(os.sched_getaffinity(0))}, given.out)


if __name__ == "__main__":
    main()
