"""The child process of bench/streams.py: our llama.cpp engine, or the wheel's own server, answering what it is told to.

    python -m bench._stream_child ours | all-threads | peer

Each line of standard input is a JSON list of prompts (token ids) and a number of tokens; each line of output has what
that took: seconds to each first token, and tokens/s of all together and of one after its first token.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SLOTS, CONTEXT = 32, 1024  # of the peer
Answer = Callable[[list[int], int, Callable[[int], None]], None]


def peer(base: Path) -> Answer:
    """llama.cpp's server as the wheel configures it (all cores, waiting actively), with a place for each stream."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(base / "model.gguf")
    params.n_parallel, params.n_ctx = SLOTS, SLOTS * CONTEXT
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = len(os.sched_getaffinity(0))
    params.cache_ram_mib, params.verbosity = 0, 0
    server = xllamacpp.Server(params)

    def answer(prompt: list[int], tokens: int, told: Callable[[int], None]) -> None:
        def receive(chunk: dict[str, Any]) -> bool:
            told(chunk.get("timings", {}).get("predicted_n", 0))
            return False

        call = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True, "timings_per_token": True}
        server.handle_completions(call, receive)

    return answer


def ours(base: Path, *, all_threads: bool) -> Answer:
    """The engine's own host, as the chat worker opens it, without the queue before it: token ids go in."""
    from jobs.ml.config import SamplingParams
    from jobs.ml.engines.base import Request
    from jobs.ml.engines.hosted import Job
    from jobs.ml.engines.llama_engine import LlamaEngine
    from jobs.ml.engines.pace import Pace

    engine = LlamaEngine(base)
    if all_threads:
        cores = len(os.sched_getaffinity(0))
        engine._pace = Pace(cores, cores, {})
    host = engine._open(None)
    print(json.dumps(engine.pace), file=sys.stderr, flush=True)

    def answer(prompt: list[int], tokens: int, told: Callable[[int], None]) -> None:
        job = Job(Request("r", [], sampling=SamplingParams(temperature=0)), None, prompt, tokens, len(prompt))
        host.generate(job, lambda text: told(job.completion_tokens))

    return answer


def timed(answer: Answer, prompts: list[list[int]], tokens: int) -> dict[str, Any]:
    began = time.perf_counter()
    marks: list[list[tuple[float, int]]] = [[] for _ in prompts]

    def run(at: int) -> None:
        answer(prompts[at], tokens, lambda count: count and marks[at].append((time.perf_counter(), count)))

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = [mark[0][0] - began for mark in marks]
    total = sum(mark[-1][1] for mark in marks) / (max(mark[-1][0] for mark in marks) - began)
    (start, had), (end, have) = marks[0][0], marks[0][-1]
    return {"first": first, "all": total, "one": (have - had) / (end - start) if have > had else 0.0}


def main() -> None:
    side, base = sys.argv[1], Path(sys.argv[2])
    answer = peer(base) if side == "peer" else ours(base, all_threads=side == "all-threads")
    for line in sys.stdin:
        print(json.dumps(timed(answer, *json.loads(line))), flush=True)
    os._exit(0)  # the server's threads are of no interest any more


if __name__ == "__main__":
    main()
