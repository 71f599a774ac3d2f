"""What does the whole stack add to the engine? First token and tokens/s at a browser's socket, 1 and 8 chats at a time.

    python -m bench.stack_overhead [--rounds 6] [--tokens 96]

Peer: the same engine over the same model with the same threads, called directly in this process. Both answer the same
questions, greedily, in turns. The first token is counted from the moment the question is sent (or submitted), tokens/s
from the first text to the last of all chats. The promise is a first token at most 20 ms later than the engine's own, and
0.95 of its tokens/s.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

from bench import Claim, in_turns, options, report, versions
from bench._cast import Person, cast
from bench._sockets import Socket, connect
from jobs.ml.config import SamplingParams
from jobs.ml.engines.base import Request
from jobs.ml.engines.local import cores
from jobs.ml.engines.open import open_engine
from tests.stack import prepared_models, running

MODEL = "smollm2-135m-instruct"
PATIENCE = 120  # seconds for one turn
TOPICS = ("the sea", "a lighthouse", "the desert", "a train", "the moon", "an orchard", "a harbour", "the snow")


@dataclass
class Turn:
    """When the text of each chat came, in seconds after it was asked for, and on one clock."""

    asked: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    last: float = 0.0
    tokens: int = 0
    ended: int = 0

    def text(self, name: str) -> None:
        self.last = time.monotonic()
        self.first.setdefault(name, self.last - self.asked[name])

    @property
    def rate(self) -> float:
        began = min(self.asked[name] + self.first[name] for name in self.first)
        return (self.tokens - 1) / (self.last - began)

    @property
    def waits(self) -> list[float]:
        """Milliseconds to the first text of each chat, the shortest first."""
        return sorted(1000 * wait for wait in self.first.values())


def questions(number: int, chats: int) -> list[str]:
    return [f"Story {number}: write a long tale about {topic}, with many turns." for topic in TOPICS[:chats]]


class Engine:
    """The engine called directly."""

    def __init__(self, tokens: int) -> None:
        self.engine = open_engine("auto", prepared_models() / MODEL, threads=cores())
        self.sampling = SamplingParams(max_tokens=tokens, temperature=0)
        self.turn, self.over = Turn(), threading.Event()
        threading.Thread(target=self.hear, daemon=True).start()

    def hear(self) -> None:
        for delta in self.engine.run():
            if delta.text:
                self.turn.text(delta.id)
            if delta.finish_reason:
                self.turn.tokens += delta.completion_tokens
                self.turn.ended += 1
                if self.turn.ended == len(self.turn.asked):
                    self.over.set()

    def ask(self, texts: list[str]) -> Turn:
        turn = self.turn = Turn()
        self.over.clear()
        names = [uuid4().hex for _ in texts]
        turn.asked = dict.fromkeys(names, time.monotonic())
        for name, text in zip(names, texts, strict=True):
            self.engine.submit(Request(name, [{"role": "user", "content": text}], sampling=self.sampling))
        if not self.over.wait(PATIENCE):
            raise SystemExit(f"The engine did not end within {PATIENCE} s.")
        return turn


class Stack:
    """People at their browsers' sockets, each asking in a chat of their own."""

    def __init__(self, port: int, people: list[Person]) -> None:
        self.port, self.people = port, people

    def ask(self, texts: list[str]) -> Turn:
        return asyncio.run(self._ask(texts))

    async def _ask(self, texts: list[str]) -> Turn:
        turn, over = Turn(), asyncio.Event()
        whose: dict[Socket, str] = {}

        def hear(socket: Socket, text: str) -> None:
            frame = json.loads(text)
            match frame["type"]:
                case "response.created":
                    socket.send(type="subscribe", to=f"generation:{frame['generation']}", after=0)
                case "response.output_text.delta":
                    turn.text(whose[socket])
                case "snapshot" if frame["text"]:
                    turn.text(whose[socket])
                case "response.completed":
                    turn.tokens += frame["usage"]["completion_tokens"]
                    turn.ended += 1
                    if turn.ended == len(texts):
                        over.set()
                case "response.failed" | "error":
                    raise SystemExit(text)

        for person in self.people[: len(texts)]:
            socket = await connect(self.port, f"/ws/{person.team}/", hear, session=person.session)
            whose[socket] = person.chat
            socket.send(type="subscribe", to=f"chat:{person.chat}")
        await asyncio.sleep(0.3)  # everybody has been greeted
        for (socket, chat), text in zip(whose.items(), texts, strict=True):
            turn.asked[chat] = time.monotonic()
            socket.send(type="send", chat=chat, parent=None, text=text, client_id=uuid4().hex)
        await asyncio.wait_for(over.wait(), PATIENCE)
        for socket in whose:
            socket.transport.close()
        return turn


def claims_of(chats: int, ours: list[Turn], peer: list[Turn]) -> list[Claim]:
    def later(pair: tuple[Turn, Turn]) -> float:
        """The chats of both in the order in which they were answered."""
        return statistics.median(a - b for a, b in zip(pair[0].waits, pair[1].waits, strict=True))

    of = f"{chats} chat{'s' if chats > 1 else ''}"
    return [
        Claim(f"first token beyond the engine's own, {of}", "ms", [later(p) for p in zip(ours, peer, strict=True)],
              at_most=20),
        Claim(f"tokens/s at the socket, {of}", "tokens/s", [turn.rate for turn in ours],
              "engine called directly", [turn.rate for turn in peer], at_least=0.95),
    ]  # fmt: skip


def main() -> None:
    given = options(__doc__, rounds=6, tokens=96)
    numbers = count()
    facts: dict[str, Any] = {"tokens": given.tokens, "versions": versions("xllamacpp", "uvicorn", "channels")}
    claims = []
    with running() as stack:
        people = cast(stack, people=8, params={"max_tokens": given.tokens, "temperature": 0})
        ours, peer = Stack(stack.port, people), Engine(given.tokens)
        for chats in (1, 8):
            asked = [questions(next(numbers), chats) for _ in range(given.rounds + 1)]
            sides = [iter(asked), iter(asked)]  # both answer the same questions

            def ask(side: int, whom: Stack | Engine, sides: Any = sides) -> Turn:
                return whom.ask(next(sides[side]))

            ask(0, ours), ask(1, peer)  # warm-up
            turns = in_turns(lambda: ask(0, ours), lambda: ask(1, peer), given.rounds)
            claims += claims_of(chats, *turns)
            facts[f"first token, {chats}"] = {
                "ours_ms": [turn.waits for turn in turns[0]], "engine_ms": [turn.waits for turn in turns[1]],
            }  # fmt: skip
        peer.engine.close()
    report(claims, facts, given.out)


if __name__ == "__main__":
    main()
