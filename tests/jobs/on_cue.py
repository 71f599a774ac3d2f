"""The chat worker over an engine that speaks on cue: what the tests of replies share."""

import queue
import time

from jobs.ml.engines.base import Delta
from jobs.models import LanguageModel


class Engine:
    """Says what the test tells it to, in the engine's own thread."""

    capacity = 3
    context_length = 100
    constrains = True
    pace = {"decode": 1, "batch": 2}

    def __init__(self):
        self.requests, self.cancelled, self.loaded, self.closed = {}, [], [], False
        self.deltas = queue.SimpleQueue()

    def submit(self, request):
        self.requests[request.id] = request

    def cancel(self, request_id):
        self.cancelled.append(request_id)
        self.deltas.put(Delta(request_id, finish_reason="cancelled"))

    def load(self, adapter):
        self.loaded.append(adapter)

    def run(self):
        while isinstance(delta := self.deltas.get(), Delta):
            yield delta
        if delta == "crash":
            raise RuntimeError("the library has crashed")

    def close(self):
        self.closed = True
        self.deltas.put(None)

    def say(self, generation, *pieces, finish=None):
        for number, piece in enumerate(pieces, 1):
            self.deltas.put(Delta(str(generation.pk), piece, None, 7, number))
        if finish:
            self.deltas.put(Delta(str(generation.pk), "", finish, 7, len(pieces)))


def make_base(key):
    return LanguageModel.objects.create(key=key, name=key.title(), folder=key, template_hash="t" * 64)


def until(runner, condition, seconds=5):
    """Let the runner work until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        runner.look()
        time.sleep(0.005)


def ended(generation):
    def condition():
        generation.refresh_from_db()
        return generation.is_final

    return condition


def submitted(opened, generation, base="one"):
    return lambda: any(str(generation.pk) in engine.requests for engine in opened.get(base, []))
