"""Many chats at once over the fixed-rate upstream: what reaches each browser's socket, and when.

It starts upstreams, counts processor time, and drives our side: one person, one socket, one chat for each stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench._cast import Person
from bench._sockets import Socket, connect
from bench._upstream import delays, now
from tests.stack import ROOT, free_port

TICKS = os.sysconf("SC_CLK_TCK")
ASKING = 20  # streams that begin in a second


@contextmanager
def upstream(rate: float, tokens: int, first: float = 0.1) -> Iterator[int]:
    """A fixed-rate upstream on the port given."""
    port = free_port()
    command = [sys.executable, "-m", "bench._upstream", str(port), str(rate), str(tokens), str(first)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        process.stdout.readline()
        yield port
    finally:
        process.terminate()
        process.wait(10)


def processes(roots: Iterable[int]) -> set[int]:
    """These processes and all that come from them."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, grown = set(roots), True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def processor_seconds(roots: Iterable[int]) -> float:
    """User and system time that these processes, and those that come from them, have taken so far."""
    ticks = 0
    for pid in processes(roots):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


@dataclass
class Load:
    """What came of a number of streams: milliseconds, and how many tokens were heard."""

    delays: list[float] = field(default_factory=list)  # of each token, from the upstream's hand to the socket
    firsts: list[float] = field(default_factory=list)  # from asking to the first token of each stream
    seconds: float = 0.0
    processor: float = 0.0
    ended: int = 0

    @property
    def tokens(self) -> int:
        return len(self.delays)

    @property
    def processor_per_token(self) -> float:
        """In milliseconds."""
        return 1000 * self.processor / self.tokens

    def first_beyond(self, seconds: float) -> float:
        """What the median stream waited for its first token beyond `seconds`, in milliseconds."""
        return statistics.median(self.firsts) - 1000 * seconds

    def delay(self, percent: int) -> float:
        return statistics.quantiles(self.delays, n=100)[percent - 1]

    def summary(self) -> dict[str, float]:
        return {
            "tokens": self.tokens,
            "delay_p50_ms": self.delay(50),
            "delay_p99_ms": self.delay(99),
            "first_token_p50_ms": statistics.median(self.firsts),
            "first_token_max_ms": max(self.firsts),
            "processor_ms_per_token": self.processor_per_token,
        }


class Listener:
    """Puts the text of one stream together token by token, whatever it was cut into."""

    def __init__(self, load: Load) -> None:
        self.load, self.rest, self.asked, self.heard = load, "", 0, 0

    def text(self, piece: str) -> None:
        at = now()
        whole, space, self.rest = (self.rest + piece).rpartition(" ")
        self.rest = self.rest if space else whole + self.rest
        if space and (found := delays(whole, at)):
            if not self.heard:
                self.load.firsts.append((at - self.asked) / 1000)
            self.heard += len(found)
            self.load.delays += found


async def ours(port: int, people: list[Person], tokens: int, pids: Iterable[int], patience: float) -> Load:
    """One stream for each of `people`, begun one after the other."""
    load, over = Load(), asyncio.Event()
    listeners: dict[Socket, Listener] = {}

    def hear(socket: Socket, text: str) -> None:
        frame: dict[str, Any] = json.loads(text)
        match frame["type"]:
            case "response.output_text.delta":
                listeners[socket].text(frame["delta"])
            case "snapshot":
                listeners[socket].text(frame["text"])
            case "response.created":
                socket.send(type="subscribe", to=f"generation:{frame['generation']}", after=0)
            case "response.completed":
                load.ended += 1
                if load.ended == len(people):
                    over.set()
            case "response.failed" | "error":
                raise SystemExit(text)

    for person in people:
        socket = await connect(port, f"/ws/{person.team}/", hear, session=person.session)
        listeners[socket] = Listener(load)
        socket.send(type="subscribe", to=f"chat:{person.chat}")
    await asyncio.sleep(1.0)  # everybody has been greeted
    before, began = processor_seconds(pids), time.monotonic()
    for number, (person, (socket, listener)) in enumerate(zip(people, listeners.items(), strict=True)):
        await asyncio.sleep(max(0.0, began + number / ASKING - time.monotonic()))
        listener.asked = now()
        socket.send(type="send", chat=person.chat, parent=None, text="Go on.", client_id=uuid4().hex)
    try:
        await asyncio.wait_for(over.wait(), patience)
    finally:
        load.seconds, load.processor = time.monotonic() - began, processor_seconds(pids) - before
        for socket in listeners:
            socket.transport.close()
    wrong = [listener.heard for listener in listeners.values() if listener.heard != tokens]
    if wrong:
        raise SystemExit(f"{len(wrong)} streams came to other than {tokens} tokens, such as {wrong[:5]}.")
    return load
