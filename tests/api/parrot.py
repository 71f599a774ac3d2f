"""An engine for the doors' tests: it says what it was taught, so that everything around it can be the real thing."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

from jobs.ml.engines.base import ContextOverflow, Delta, Request


class Parrot:
    """Answers with the words it was taught. With `slow` set it says one word each time `go` is set."""

    context_length, capacity, constrains, pace = 100, 4, False, {}

    def __init__(self) -> None:
        self.words = ["Bon", "jour", " à", " tous"]
        self.slow = False
        self.go = threading.Semaphore(0)
        self.error = ""
        self.asked: list[Request] = []
        self.cancelled: set[str] = set()
        self.todo: queue.Queue[Request | None] = queue.Queue()

    def submit(self, request: Request) -> None:
        words = sum(len(message["content"].split()) for message in request.messages)
        if words > self.context_length:
            raise ContextOverflow(words, self.context_length)
        self.asked.append(request)
        self.todo.put(request)

    def cancel(self, request_id: str) -> None:
        self.cancelled.add(request_id)
        self.go.release()

    def load(self, adapter: Any) -> None: ...

    def run(self) -> Iterator[Delta]:
        while request := self.todo.get():
            for count, word in enumerate(self.words, start=1):
                if self.slow:
                    self.go.acquire()
                if request.id in self.cancelled:
                    break
                yield Delta(request.id, word, prompt_tokens=7, completion_tokens=count)
            reason = "cancelled" if request.id in self.cancelled else "error" if self.error else "stop"
            yield Delta(
                request.id, finish_reason=reason, prompt_tokens=7, completion_tokens=len(self.words), error=self.error
            )

    def close(self) -> None:
        self.todo.put(None)
