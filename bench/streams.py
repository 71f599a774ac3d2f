"""Our llama.cpp engine against llama.cpp's own server, same wheel and same weights: how fast do replies come?

    python -m bench.streams [--rounds 3] [--tokens 32]

Each runs in a process of its own, given prompts (token ids) of the same kind in turns, greedy, none read before. Ours as the chat worker opens it;
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
from collections.abc import Callable
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
    """Prompts that nothing has read before: a number near the beginning makes each another one."""

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
    given = options(__doc__, rounds=3, tokens=32)
    base = prepared_models() / "smollm2-135m-instruct"
    ours, everything, peer = (Side(name, base) for name in ("ours", "all-threads", "peer"))
    prompts = Prompts(base, 7)
    length = len(prompts.long()[0])
    for side in (ours, everything, peer):
        side([prompts.short() for _ in range(2)], 4)

    def streams(side: Side, count: int) -> Callable[[], float]:
        return lambda: side([prompts.short() for _ in range(count)], given.tokens)["one" if count == 1 else "all"]

    def first(side: Side, prompt: Callable[[], list[int]]) -> Callable[[], float]:
        return lambda: side([prompt()], 1)["first"][0]

    claims = []
    for name, count, least in (("one stream", 1, 0.97), ("8 streams", 8, 1.0), ("32 streams", 32, 1.0)):
        turns = in_turns(streams(ours, count), streams(peer, count), given.rounds)
        claims.append(Claim(name, "tokens/s", turns[0], PEER, turns[1], at_least=least))
    turns = in_turns(streams(ours, 1), streams(everything, 1), given.rounds)
    claims.append(Claim("one stream, threads by measurement", "tokens/s", turns[0], "all threads", turns[1]))
    turns = in_turns(first(ours, prompts.short), first(peer, prompts.short), given.rounds)
    claims.append(Claim("first token, short prompt", "s", turns[0], PEER, turns[1]))
    turns = in_turns(first(ours, lambda: prompts.long()[0]), first(peer, lambda: prompts.long()[0]), given.rounds)
    claims.append(Claim(f"first token, cold, {length} tokens", "s", turns[0], PEER, turns[1], at_most=1.0))
    pairs = [[ours([prompt], 1)["first"][0] for prompt in prompts.long(ends=2)] for _ in range(given.rounds)]
    without, reused = zip(*pairs, strict=True)
    claims.append(Claim("first token, prefix read before", "s", reused, "without", without, at_most=0.2))
    for side in (ours, everything, peer):
        side.close()
    report(claims, {"versions": versions("xllamacpp"), "threads": len(os.sched_getaffinity(0))}, given.out)


if __name__ == "__main__":
    main()
