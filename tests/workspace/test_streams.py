"""One reply as frames: joined to at most 20 a second, each saying which it follows, going on after an outage."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from redis.exceptions import ConnectionError

from jobs.tokenlog import Done, Piece, Snapshot
from workspace import streams

ME = uuid4()
DONE = Done(ME, "succeeded", "", "", "stop", "hash", 1, 2)


def hears(monkeypatch, *attempts):
    """`batches` as it would be, one script a call: events, pauses in seconds, or an error to raise. What is said while
    the listener is busy comes to it at once."""
    asked, scripts = [], iter(attempts)

    async def batches(generation_id, after=0):
        asked.append(after)
        inbox: asyncio.Queue = asyncio.Queue()

        async def say(script):
            for event in script:
                await (asyncio.sleep(event) if isinstance(event, float) else inbox.put(event))

        saying = asyncio.create_task(say(next(scripts)))
        try:
            while True:
                told = [await inbox.get()]
                while not inbox.empty():
                    told.append(inbox.get_nowait())
                if isinstance(told[-1], Exception):
                    if told[:-1]:
                        yield told[:-1]
                    raise told[-1]
                yield told
                if isinstance(told[-1], Done):
                    return
        finally:
            saying.cancel()

    monkeypatch.setattr(streams, "batches", batches)
    return asked


async def all_frames(after=0):
    return [frame async for frame in streams.frames(ME, after)]


async def test_many_small_pieces_become_few_frames_with_all_of_the_text(monkeypatch):
    pieces = [part for number in range(1, 101) for part in (Piece(number, f"{number} "), 0.002)]
    hears(monkeypatch, [Snapshot(0, ""), *pieces, DONE])
    began = asyncio.get_running_loop().time()
    frames = await all_frames()
    seconds = asyncio.get_running_loop().time() - began

    deltas = [frame for frame in frames if frame["type"] == "response.output_text.delta"]
    assert "".join(frame["delta"] for frame in deltas) == "".join(f"{n} " for n in range(1, 101))
    assert [frame["after"] for frame in deltas] == [0, *[frame["sequence_number"] for frame in deltas[:-1]]]
    assert len(deltas) <= seconds * 20 + 2
    assert frames[-1]["type"] == "response.completed"


async def test_a_lone_piece_is_not_held_back(monkeypatch):
    hears(monkeypatch, [Piece(5, "a"), 0.3, Piece(6, "b"), 0.3, DONE])
    stamps = []
    async for frame in streams.frames(ME, 4):
        stamps.append((frame["type"], asyncio.get_running_loop().time()))
    assert stamps[1][1] - stamps[0][1] > 0.2, "the first did not wait for the second"


async def test_after_an_outage_it_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(streams, "RETRY", 0.01)
    asked = hears(monkeypatch, [Snapshot(3, "abc"), Piece(4, "d"), 0.1, ConnectionError()], [Piece(5, "e"), DONE])
    frames = await all_frames()
    assert asked == [0, 4]
    assert [frame.get("delta") for frame in frames] == [None, "d", "e", None]


async def test_a_snapshot_in_between_comes_after_what_was_held(monkeypatch):
    hears(monkeypatch, [Piece(1, "a"), Piece(2, "b"), Snapshot(9, "abcdefghi"), DONE])
    frames = await all_frames()
    assert [frame.get("delta") or frame.get("text") for frame in frames] == ["ab", "abcdefghi", None]


async def test_whoever_stops_listening_leaves_nothing_running(monkeypatch):
    ended = asyncio.Event()

    async def batches(generation_id, after=0):
        try:
            yield [Snapshot(0, "")]
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(streams, "batches", batches)

    async def listen():
        async for _ in streams.frames(ME, 0):
            pass

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(ended.wait(), 1)
