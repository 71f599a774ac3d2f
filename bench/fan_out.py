"""100 chats at 20 tokens/s each, to 100 sockets: how late does a token reach its browser?

    python -m bench.fan_out [--streams 100] [--rate 20] [--seconds 10] [--rounds 2]

The whole stack over a fixed-rate upstream that writes into every token when it was sent. Each of as many people, ten to a
team, sits at one socket and follows one chat. A delay is from the upstream's hand to the browser's: worker, token log,
web process and socket, and the wait for the next of at most 20 frames a second. There is no peer; the promise is a 99th
percentile of at most 250 ms.
"""

from __future__ import annotations

import asyncio

from bench import Claim, options, report, versions
from bench._cast import cast
from bench._streams import ours, upstream
from tests.processes import using
from tests.stack import running


def main() -> None:
    given = options(__doc__, streams=100, rate=20.0, seconds=10.0, rounds=2)
    tokens = round(given.rate * given.seconds)
    with upstream(given.rate, tokens) as port, running() as stack:
        people = cast(
            stack, people=given.streams, teams=max(1, given.streams // 10), upstream=f"http://127.0.0.1:{port}/v1"
        )
        pids = list(using(stack.home))
        asyncio.run(ours(stack.port, people[:10], tokens, pids, 3 * given.seconds + 30))  # warm-up
        loads = [
            asyncio.run(ours(stack.port, people, tokens, pids, 3 * given.seconds + 30)) for _ in range(given.rounds)
        ]
    claims = [
        Claim(f"delay of a token, 99th percentile, {given.streams} streams", "ms", [load.delay(99) for load in loads],
              at_most=250),
        Claim("delay of a token, median", "ms", [load.delay(50) for load in loads]),
        Claim("processor time for each token, whole stack", "ms", [load.processor_per_token for load in loads]),
    ]  # fmt: skip
    facts = {
        "streams": given.streams, "rate": given.rate, "turns": [load.summary() for load in loads],
        "versions": versions("uvicorn", "websockets", "redis", "channels"),
    }  # fmt: skip
    report(claims, facts, given.out)


if __name__ == "__main__":
    main()
