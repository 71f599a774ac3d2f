"""A conversation in a terminal: the quickest way to hear what a fine-tune has learnt.

One line in, one streamed answer out, with whatever engine suits this machine. It keeps nothing when it ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from jobs.ml.config import SamplingParams
from jobs.ml.engines.base import AdapterRef, ContextOverflow, Delta, Engine, Request
from jobs.ml.engines.open import open_engine
from jobs.ml.template import Message

ADAPTER = "adapter"


def converse(model_dir: Path, adapter: Path | None, *, threads: int | None = None) -> int:
    """Talk until end of input (Ctrl-D)."""
    engine = open_engine("auto", model_dir, threads=threads)
    try:
        if adapter:
            engine.load(AdapterRef(ADAPTER, adapter))
        deltas = engine.run()
        messages: list[Message] = []
        for number, line in enumerate(_lines()):
            messages.append({"role": "user", "content": line})
            request = Request(str(number), messages, adapter=ADAPTER if adapter else None, sampling=SamplingParams())
            try:
                answer = reply(engine, deltas, request, lambda text: print(text, end="", flush=True))  # noqa: T201
            except ContextOverflow as error:
                print(f"{error} Starting over.")  # noqa: T201
                messages = []
                continue
            print()  # noqa: T201
            messages.append({"role": "assistant", "content": answer})
    finally:
        engine.close()
    return 0


def reply(engine: Engine, deltas: Iterator[Delta], request: Request, write: Callable[[str], None]) -> str:
    """Submit one request and hand its text on as it comes."""
    engine.submit(request)
    text = ""
    for delta in deltas:
        write(delta.text)
        text += delta.text
        if delta.finish_reason:
            if delta.error:
                write(delta.error)
            break
    return text


def _lines() -> Iterator[str]:
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if line:
            yield line
