"""One ring is enough for a burst of jobs, and none is left waiting for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from jobs import tasks
from jobs.runners import bell


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The messages sent to workers."""
    sent: list[str] = []
    heard("infer")
    heard("train")
    monkeypatch.setattr(tasks.ring, "apply_async", lambda args, **_: sent.append(args[0]))
    yield sent
    heard("infer")


def heard(kind: str) -> None:
    """What a worker does with a message, up to its look."""
    tasks.ring(kind)
    tasks.looking(kind)


def test_a_burst_of_jobs_rings_once(rings: list[str]) -> None:
    for _ in range(5):
        tasks.ring_now("infer")
    assert rings == ["infer"]


def test_each_kind_has_a_bell_of_its_own(rings: list[str]) -> None:
    tasks.ring_now("infer")
    tasks.ring_now("train")
    assert rings == ["infer", "train"]


def test_once_a_worker_has_heard_it_the_next_job_rings_again(rings: list[str]) -> None:
    tasks.ring_now("infer")
    heard("infer")
    assert bell.called() and not bell.called(), "the worker looks, once"
    tasks.ring_now("infer")
    assert rings == ["infer", "infer"]


def test_a_burst_goes_on_under_one_ring_until_the_worker_looks_again(rings: list[str]) -> None:
    tasks.ring_now("infer")
    tasks.ring("infer")  # while it is busy with what it found before
    tasks.ring_now("infer")
    assert rings == ["infer"] and bell.called(), "it looks for both"
    tasks.looking("infer")
    tasks.ring_now("infer")
    assert rings == ["infer", "infer"], "the look may have been too early for this one"


def test_a_ring_that_nobody_hears_does_not_silence_the_bell_for_good(
    rings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "RINGING", 0.02)
    tasks.ring_now("infer")
    while tasks._marks().exists("studio:ringing:infer"):
        pass
    tasks.ring_now("infer")
    assert rings == ["infer", "infer"]


def test_a_store_that_is_away_is_no_error(rings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    away = redis.Redis(unix_socket_path="/nowhere/redis.sock")
    monkeypatch.setattr(tasks, "_marks", lambda: away)
    tasks.ring_now("infer")
    heard("infer")
    assert bell.called()


def test_being_stirred_is_no_new_work(rings: list[str]) -> None:
    bell.called()
    bell.stir()
    assert bell.wait(0) and not bell.called()
