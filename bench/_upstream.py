"""A load generator that speaks `/v1/chat/completions` at a fixed rate: the model server behind a chat stack under test.

    python -m bench._upstream PORT RATE TOKENS [FIRST]

Each stream's first token comes FIRST seconds (0.1) after the request, and then one every 1 / RATE seconds, on a schedule
that does not slip. Every token is the moment at which it was sent, so whoever reads it at the other end of the stack
knows how long it was under way: microseconds of CLOCK_MONOTONIC, which all processes of a machine share, and a space.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

MODEL = "fixed-rate"


def now() -> int:
    """Microseconds of the clock that all processes of this machine share."""
    return time.monotonic_ns() // 1000


def delays(text: str, at: int) -> list[float]:
    """Milliseconds that each token in a whole piece of text was under way when it was read at `at`."""
    return [(at - int(sent)) / 1000 for sent in text.split()]


@dataclass(frozen=True)
class Server:
    rate: float
    tokens: int
    first: float

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive between requests."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                began = asyncio.get_running_loop().time()
                line, *headers = head.decode("latin-1").split("\r\n")
                length = next((h.partition(":")[2] for h in headers if h.lower().startswith("content-length:")), "0")
                asked = json.loads(await reader.readexactly(int(length)) or b"{}")
                if line.split()[1].endswith("/chat/completions") and asked.get("stream"):
                    await self.stream(writer, began)
                elif line.split()[1].endswith("/chat/completions"):
                    message = {"role": "assistant", "content": "Title"}
                    self.answer(writer, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
                else:
                    self.answer(
                        writer, {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "us"}]}
                    )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, writer: asyncio.StreamWriter, found: dict[str, Any]) -> None:
        body = json.dumps(found).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    async def stream(self, writer: asyncio.StreamWriter, began: float) -> None:
        clock = asyncio.get_running_loop().time
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(self.tokens):
            await asyncio.sleep(max(0.0, began + self.first + number / self.rate - clock()))
            self.event(writer, {"choices": [{"index": 0, "delta": {"content": f"{now()} "}, "finish_reason": None}]})
        self.event(writer, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": 1, "completion_tokens": self.tokens, "total_tokens": self.tokens + 1}
        self.event(writer, {"choices": [], "usage": usage})
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def event(self, writer: asyncio.StreamWriter, chunk: dict[str, Any]) -> None:
        named = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, **chunk}
        data = b"data: " + json.dumps(named).encode() + b"\n\n"
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def main(port: int, rate: float, tokens: int, first: float = 0.1) -> None:
    server = await asyncio.start_server(Server(rate, tokens, first).serve, "127.0.0.1", port, backlog=512)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), *map(float, sys.argv[4:5])))
