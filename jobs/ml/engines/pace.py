"""How many threads llama.cpp makes one reply fastest with: measured on this machine, with this model.

Two threads that wait for each other after every small matrix product can be slower than one: on virtual cores that sleep
while they wait, one stream of SmolLM2-135M came at 36 tokens/s with two and at 48 to 70 with one, while reading a prompt
took half as long with two: prompts and batches always get all. Which it is for one reply depends on the machine and the model, so it is tried: half a second for each
number of threads; the choice is kept beside the model, unless the machine was busy while it was made.
It knows llama.cpp and files; it does not know requests, adapters or other programs that take the cores for a while.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xllamacpp

log = logging.getLogger(__name__)

KEPT = "pace.json"  # beside the model: {key: choice}
DECODED = 24  # tokens of one try
TRY_SECONDS = 0.4  # with a model that is slow
TRIES = 2  # the better counts: what others do to the machine only slows
WORTH = 1.05  # a thread more must bring one reply this much, because it is not there for others then


@dataclass(frozen=True)
class Pace:
    """Threads for one reply at a time, and for batches and prompts; `measured` holds tokens/s of one reply by number
    of threads, and is empty where there was nothing to choose."""

    decode: int
    batch: int
    measured: dict[str, float]


def choose(gguf: Path, most: int) -> Pace:
    """The best of 1, 2, 4, ... up to `most` threads, from the file beside the model if they have been tried before."""
    if most == 1:
        return Pace(1, 1, {})
    kept, key = gguf.with_name(KEPT), f"{processor()}, {most} threads, xllamacpp {xllamacpp.__version__}"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return Pace(**json.loads(kept.read_text(encoding="utf-8"))[key])
    try:
        pace = measured(lambda threads: Trial(gguf, threads), candidates(most))
    except RuntimeError:  # the model cannot be opened; whoever opens it next says why
        return Pace(most, most, {})
    log.info("llama.cpp makes one reply with %d threads: %s tokens/s", pace.decode, pace.measured)
    if os.getloadavg()[0] > len(os.sched_getaffinity(0)):
        return pace  # for now; the next start tries again
    choices: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        choices = json.loads(kept.read_text(encoding="utf-8"))
    with contextlib.suppress(OSError):  # a folder that is only for reading: then it is measured at each start
        kept.write_text(json.dumps({**choices, key: asdict(pace)}, indent=1), encoding="utf-8")
    return pace


def candidates(most: int) -> list[int]:
    return [*[2**power for power in range(most.bit_length()) if 2**power < most], most]


def measured(trial: Callable[[int], Trial], threads: list[int]) -> Pace:
    """Try each number of threads, in turns, and take the fewest that nothing beats by what a thread more must bring."""
    best = dict.fromkeys(threads, 0.0)
    trials = {count: trial(count) for count in threads}
    for _ in range(TRIES):
        for count, one in trials.items():
            best[count] = max(best[count], one.decode())
    fewest = min(count for count, speed in best.items() if speed * WORTH >= max(best.values()))
    return Pace(fewest, max(threads), {str(count): round(speed, 1) for count, speed in best.items()})


class Trial:
    """The model open with a number of threads, to be timed. Raises RuntimeError if it cannot be opened."""

    def __init__(self, gguf: Path, threads: int) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(gguf)
        params.n_ctx, params.n_parallel = 2 * DECODED, 1
        for pool in (params.cpuparams, params.cpuparams_batch):
            pool.n_threads, pool.poll = threads, 0
        params.cache_ram_mib, params.verbosity, params.n_threads_http = 0, 0, 1
        params.fit_params = params.warmup = False
        params.api_keys = [secrets.token_urlsafe(32)]
        self._server = xllamacpp.Server(params)

    def decode(self) -> float:
        """Tokens/s as llama.cpp says when it is done, or when the time is up."""
        began, found = time.perf_counter(), 0.0

        def receive(chunk: dict[str, Any]) -> bool:
            nonlocal found
            found = chunk.get("timings", {}).get("predicted_per_second") or found
            return found > 0 and time.perf_counter() - began > TRY_SECONDS

        call = {"prompt": [100], "max_tokens": DECODED, "ignore_eos": True, "stream": True, "temperature": 0}
        self._server.handle_completions({**call, "timings_per_token": True}, receive)
        return found


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
