"""An engine made of hosts: one host per adapter, a first-come queue before them, a bounded number of them open.

A host holds the base with at most one adapter and answers several requests at a time; hosts do not wait for each other,
so the base and an adapter side by side stream at the same pace. The least recently used idle host makes room for a
new one. An engine whose host mixes adapters has only that one (`_home`). This module knows queues, budgets and threads; how tokens are made is the host's business.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from jobs.ml.engines.base import AdapterRef, Delta, FinishReason, Request, UnknownAdapter

log = logging.getLogger(__name__)

Say = Callable[[str], None]


class RequestFailed(RuntimeError):
    """This request cannot be answered, and the host is well. The message is a sentence for a person."""


class HostFailed(RuntimeError):
    """The host cannot be opened or has stopped working. The message is a sentence for a person."""


@dataclass(eq=False)
class Job:
    """A request on its way. `prompt` holds token ids (empty where the server counts for itself), `limit` is the most
    new tokens that fit. The host keeps `completion_tokens` up to date and looks at `cancelled`."""

    request: Request
    adapter: AdapterRef | None
    prompt: list[int]
    limit: int
    prompt_tokens: int
    completion_tokens: int = 0
    cancelled: bool = False

    @property
    def budget(self) -> int:
        """Tokens of cache this job may come to hold."""
        return len(self.prompt) + self.limit


class Host(ABC):
    """The base with one adapter (or none), open and ready."""

    @abstractmethod
    def generate(self, job: Job, say: Say) -> FinishReason:
        """Answer `job`, handing each new piece of text to `say`. Called from many threads. May raise RequestFailed."""

    def interrupt(self, job: Job) -> None:  # noqa: B027 - see the docstring
        """`job` was just cancelled: end its `generate` soon. A host that looks at `job.cancelled` need do nothing."""

    def close(self) -> None:  # noqa: B027 - a host may hold nothing
        """Release what the host holds. Nothing runs on it any more."""


@dataclass(eq=False)
class Seat:
    """A place for one host: opened by the first request that needs it, after closing the one it replaces."""

    adapter: AdapterRef | None
    replaces: Seat | None = None
    host: Host | None = None
    jobs: int = 0
    reserved: int = 0
    failed: bool = False
    opening: threading.Lock = field(default_factory=threading.Lock)

    def open(self, opener: Callable[[AdapterRef | None], Host]) -> Host:
        with self.opening:
            if self.replaces is not None:
                self.replaces.close()
                self.replaces = None
            if self.host is None:
                self.host = opener(self.adapter)
            return self.host

    def close(self) -> None:
        with self.opening:
            host, self.host = self.host, None
            if host is not None:
                host.close()


class HostedEngine(ABC):
    """Everything of `base.Engine` except making tokens. Subclasses say how to read a request and how to open a host."""

    constrains = False

    def __init__(self, *, context_length: int, capacity: int, hosts: int, cache_tokens: int = sys.maxsize) -> None:
        self.context_length = context_length
        self.capacity = capacity
        self.pace: dict[str, Any] = {}
        self._hosts = hosts
        self._cache_tokens = cache_tokens
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._adapters: dict[str, AdapterRef] = {}
        self._waiting: deque[Job] = deque()
        self._running: dict[str, tuple[Seat, Job]] = {}
        self._seats: OrderedDict[AdapterRef | None, Seat] = OrderedDict()
        self._deltas: queue.SimpleQueue[Delta | None] = queue.SimpleQueue()
        self._closed = False

    @abstractmethod
    def _read(self, request: Request, adapter: AdapterRef | None) -> Job:
        """Turn a request into a job. Raises ContextOverflow."""

    @abstractmethod
    def _open(self, adapter: AdapterRef | None) -> Host:
        """Open a host. Raises HostFailed."""

    @abstractmethod
    def _check(self, adapter: AdapterRef) -> None:
        """Refuse an adapter that cannot work with this base, by a ValueError with a sentence."""

    def _home(self, adapter: AdapterRef | None) -> AdapterRef | None:
        """Whose host answers for this adapter: each has its own, unless an engine mixes them."""
        return adapter

    def _slots(self, adapter: AdapterRef | None) -> int:
        """How many requests one host answers at a time."""
        return self.capacity

    def _forget(self, adapter: AdapterRef) -> None:  # noqa: B027 - most engines hold nothing per adapter name
        """The adapter was unloaded."""

    def submit(self, request: Request) -> None:
        with self._lock:
            try:
                adapter = self._adapters[request.adapter] if request.adapter is not None else None
            except KeyError:
                raise UnknownAdapter(f"The adapter {request.adapter} is not loaded.") from None
        job = self._read(request, adapter)
        with self._lock:
            if self._closed:
                raise RuntimeError("The engine is closed.")
            if request.id in self._running or any(waiting.request.id == request.id for waiting in self._waiting):
                raise ValueError(f"A request with the id {request.id} is already in flight.")
            self._waiting.append(job)
            self._admit()

    def cancel(self, request_id: str) -> None:
        with self._lock:
            for job in self._waiting:
                if job.request.id == request_id:
                    self._waiting.remove(job)
                    self._say_last(job, "cancelled")
                    self._admit()
                    return
            if request_id not in self._running:
                return
            seat, job = self._running[request_id]
            job.cancelled = True
            host = seat.host
        if host is not None:
            host.interrupt(job)

    def load(self, adapter: AdapterRef) -> None:
        with self._lock:
            if adapter.name in self._adapters:
                return
        self._check(adapter)
        with self._lock:
            self._adapters.setdefault(adapter.name, adapter)

    def unload(self, name: str) -> None:
        with self._lock:
            adapter = self._adapters.pop(name, None)
            seat = self._release(self._seats.get(adapter)) if adapter is not None else None
        if seat is not None:
            seat.close()
        if adapter is not None:
            self._forget(adapter)

    def run(self) -> Iterator[Delta]:
        while (delta := self._deltas.get()) is not None:
            yield delta

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            ids = [job.request.id for job in self._waiting] + list(self._running)
        for request_id in ids:
            self.cancel(request_id)
        with self._idle:
            self._idle.wait_for(lambda: not self._running)
            seats = list(self._seats.values())
            self._seats.clear()
        for seat in seats:
            seat.close()
        self._deltas.put(None)

    def _admit(self) -> None:
        """Start what fits, in order of arrival. A request passes another only if that one waits for a full host; once
        one waits for a host to be opened nothing passes it, else the open hosts would never fall idle."""
        for job in list(self._waiting):
            if len(self._running) >= self.capacity:
                return
            home = self._home(job.adapter)
            seat = self._seats.get(home) or self._seat(home)
            if seat is None:
                return
            if seat.jobs >= self._slots(home) or (seat.jobs and seat.reserved + job.budget > self._cache_tokens):
                continue
            self._waiting.remove(job)
            self._seats.move_to_end(home)
            seat.jobs += 1
            seat.reserved += job.budget
            self._running[job.request.id] = (seat, job)
            threading.Thread(target=self._work, args=(seat, job), name=f"reply-{job.request.id}", daemon=True).start()

    def _seat(self, adapter: AdapterRef | None) -> Seat | None:
        """A new seat, in the place of the idle one used longest ago if all are taken; None if none is idle."""
        replaced = None
        if len(self._seats) >= self._hosts:
            replaced = next((seat for seat in self._seats.values() if not seat.jobs), None)
            if replaced is None:
                return None
            del self._seats[replaced.adapter]
        seat = self._seats[adapter] = Seat(adapter, replaced)
        return seat

    def _work(self, seat: Seat, job: Job) -> None:
        reason: FinishReason = "error"
        error = ""
        try:
            host = seat.open(self._open)
            reason = "cancelled" if job.cancelled else host.generate(job, lambda text: self._say(job, text))
        except RequestFailed as problem:
            error = str(problem)
        except HostFailed as problem:
            seat.failed, error = True, str(problem)
        except Exception:  # a thread's outermost frame: whatever broke, the reply must end and the engine go on
            log.exception("A reply failed unexpectedly")
            seat.failed = True
            error = "The model failed while answering. Try again; the worker's log has the details."
        closing = None
        with self._lock:
            del self._running[job.request.id]
            seat.jobs -= 1
            seat.reserved -= job.budget
            self._say_last(job, reason if not job.cancelled else "cancelled", error)
            gone = seat.adapter is not None and self._adapters.get(seat.adapter.name) != seat.adapter
            if seat.failed or gone:
                closing = self._release(seat)
            self._admit()
            self._idle.notify_all()
        if closing is not None:
            closing.close()

    def _release(self, seat: Seat | None) -> Seat | None:
        """Take a seat out of use. Returns it if it can be closed now; else its last job does that."""
        if seat is None:
            return None
        if seat.failed and self._seats.get(seat.adapter) is seat:
            del self._seats[seat.adapter]
        if seat.jobs or any(self._home(job.adapter) == seat.adapter for job in self._waiting if not seat.failed):
            return None
        if self._seats.get(seat.adapter) is seat:
            del self._seats[seat.adapter]
        return seat

    def _say(self, job: Job, text: str) -> None:
        if text and not job.cancelled:
            self._deltas.put(Delta(job.request.id, text, None, job.prompt_tokens, job.completion_tokens))

    def _say_last(self, job: Job, reason: FinishReason, error: str = "") -> None:
        error = error if reason == "error" else ""
        self._deltas.put(Delta(job.request.id, "", reason, job.prompt_tokens, job.completion_tokens, error))
