"""The queue before the hosts: who starts when, who makes room, and what a host that breaks may take with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.ml.engines.base import AdapterRef
from jobs.ml.engines.hosted import Host, HostedEngine, HostFailed, Job, RequestFailed

from .listening import PATIENCE, Listener


class Typist(Host):
    """Answers with the adapter's name, one letter for each turn it is given."""

    def __init__(self, engine: Office, name: str) -> None:
        self.engine, self.name, self.closed = engine, name, False

    def generate(self, job: Job, say) -> str:
        match job.request.messages[0]["content"]:
            case "refuse":
                raise RequestFailed("This cannot be answered.")
            case "break":
                raise ZeroDivisionError
            case "work":
                self.engine.at_work.append(job.request.id)
                self.engine.turn.acquire()
        if job.cancelled:
            return "cancelled"
        assert not self.closed
        job.completion_tokens += 1
        say(self.name)
        return "stop"

    def interrupt(self, job: Job) -> None:
        self.engine.turn.release()

    def close(self) -> None:
        self.closed = True
        self.engine.open_hosts.remove(self.name)


class Office(HostedEngine):
    def __init__(self) -> None:
        super().__init__(context_length=100, capacity=4, hosts=2, cache_tokens=100)
        self.turn = threading.Semaphore(0)
        self.at_work: list[str] = []
        self.open_hosts: list[str] = []
        self.opened: list[str] = []

    def _read(self, request, adapter):
        return Job(request, adapter, prompt=[0] * 10, limit=request.sampling.max_tokens, prompt_tokens=10)

    def _open(self, adapter):
        name = adapter.name if adapter else "base"
        if name == "gone":
            raise HostFailed("The file is damaged.")
        assert len(self.open_hosts) < 2
        self.open_hosts.append(name)
        self.opened.append(name)
        return Typist(self, name)

    def _check(self, adapter) -> None:
        pass

    def _slots(self, adapter) -> int:
        return 3


@pytest.fixture
def office() -> Iterator[Listener]:
    engine = Office()
    for name in ("a", "b", "gone"):
        engine.load(AdapterRef(name, Path(name)))
    chat = Listener(engine)
    yield chat
    engine.turn.release(100)
    engine.close()
    chat.thread.join(PATIENCE)
    assert not chat.thread.is_alive()
    assert engine.open_hosts == []


def until(condition) -> None:
    ticks = threading.Event()
    for _ in range(1000):
        if condition():
            return
        ticks.wait(0.005)
    raise AssertionError("never came true")


def test_a_full_host_makes_its_own_requests_wait_and_no_others(office: Listener) -> None:
    mine = [office.submit("work", max_tokens=1) for _ in range(5)]
    until(lambda: len(office.engine.at_work) == 3)
    assert office.ask("hello", adapter="a", max_tokens=1).text == "a"
    assert office.engine.at_work == [reply.id for reply in mine[:3]]
    office.engine.turn.release(5)
    office.wait(*mine)
    assert office.engine.at_work[3:] == [reply.id for reply in mine[3:]]


def test_a_request_waits_while_the_cache_could_not_hold_it(office: Listener) -> None:
    first = office.submit("work", max_tokens=60)
    second = office.submit("work", max_tokens=60)
    until(lambda: office.engine.at_work)
    assert office.engine.at_work == [first.id]
    office.engine.turn.release(2)
    office.wait(first, second)


def test_the_idle_host_used_longest_ago_makes_room(office: Listener) -> None:
    for adapter in (None, "a", None, "b", None):
        office.ask("hello", adapter=adapter, max_tokens=1)
    assert office.engine.opened == ["base", "a", "b"]
    assert sorted(office.engine.open_hosts) == ["b", "base"]


def test_whoever_waits_for_a_host_is_not_overtaken(office: Listener) -> None:
    busy = [office.submit("work", adapter=adapter, max_tokens=1) for adapter in (None, "a")]
    until(lambda: len(office.engine.at_work) == 2)
    third = office.submit("hello", adapter="b", max_tokens=1)
    late = office.submit("hello", max_tokens=1)
    assert not late.finished.wait(0.1)
    assert not third.finished.is_set()
    office.engine.turn.release(2)
    office.wait(*busy, third, late)
    assert third.text == "b"


def test_a_request_that_cannot_be_answered_says_why_and_the_host_stays(office: Listener) -> None:
    office.ask("hello", max_tokens=1)
    reply = office.ask("refuse", max_tokens=1)
    assert (reply.last.finish_reason, reply.last.error) == ("error", "This cannot be answered.")
    assert office.ask("hello", max_tokens=1).text == "base"
    assert office.engine.opened == ["base"]


def test_a_host_that_breaks_is_replaced_and_its_neighbours_finish(office: Listener) -> None:
    neighbour = office.submit("work", max_tokens=1)
    until(lambda: office.engine.at_work)
    broken = office.ask("break", max_tokens=1)
    assert broken.last.finish_reason == "error"
    assert "Try again" in broken.last.error
    office.engine.turn.release()
    office.wait(neighbour)
    assert neighbour.text == "base"
    until(lambda: office.engine.open_hosts == [])
    assert office.ask("hello", max_tokens=1).text == "base"


def test_a_host_that_does_not_open_fails_only_its_request(office: Listener) -> None:
    reply = office.ask("hello", adapter="gone", max_tokens=1)
    assert (reply.last.finish_reason, reply.last.error) == ("error", "The file is damaged.")
    assert office.ask("hello", adapter="a", max_tokens=1).text == "a"


def test_an_unloaded_adapter_lets_its_requests_finish_then_closes(office: Listener) -> None:
    running = office.submit("work", adapter="a", max_tokens=60)
    waiting = office.submit("work", adapter="a", max_tokens=60)
    until(lambda: office.engine.at_work)
    office.engine.unload("a")
    assert office.engine.open_hosts == ["a"]
    office.engine.turn.release(2)
    office.wait(running, waiting)
    assert [running.text, waiting.text] == ["a", "a"]
    until(lambda: office.engine.open_hosts == [])


def test_cancel_while_waiting_ends_at_once(office: Listener) -> None:
    running = [office.submit("work", max_tokens=1) for _ in range(3)]
    waiting = office.submit("work", max_tokens=1)
    office.engine.cancel(waiting.id)
    office.wait(waiting)
    assert waiting.last.finish_reason == "cancelled"
    office.engine.turn.release(3)
    office.wait(*running)
    assert waiting.id not in office.engine.at_work
