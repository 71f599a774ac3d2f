"""A browser's websocket for benches, cheap enough that thousands of them leave the machine to the server.

It offers compression as browsers do, and takes what the server makes of it. It knows frames (RFC 6455 and 7692), not
what is said in them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import zlib
from collections.abc import Callable
from typing import Any

Hear = Callable[["Socket", str], None]

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
DEFLATED = 0x40
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nOrigin: http://{host}:{port}\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n{cookie}\r\n"
)


class Socket(asyncio.Protocol):
    """`hear` is called with each text as it comes. `closed` is done, with the close code, once the line is."""

    transport: asyncio.Transport

    def __init__(self, request: bytes, hear: Hear) -> None:
        self.request, self.hear = request, hear
        loop = asyncio.get_running_loop()
        self.open: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[int] = loop.create_future()
        self.buffer = b""
        self.deflated: Any = None
        self.code = 1006

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(ConnectionError(f"The server broke off: {self.buffer[:200]!r}"))
        self.closed.set_result(self.code)

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer + data if self.buffer else data
        at = 0
        if not self.open.done():
            end = buffer.find(b"\r\n\r\n")
            if end < 0 or not buffer.startswith(b"HTTP/1.1 101"):
                self.buffer = buffer
                return
            at = end + 4
            self.open.set_result(None)
        while len(buffer) - at >= 2:
            first, length, start = buffer[at], buffer[at + 1], at + 2
            if length > 125:
                size = 2 if length == 126 else 8
                length, start = int.from_bytes(buffer[start : start + size], "big"), start + size
            if len(buffer) < start + length:
                break
            self.frame(first, buffer[start : start + length])
            at = start + length
        self.buffer = buffer[at:]

    def frame(self, first: int, body: bytes) -> None:
        match first & 0x0F:
            case 1:
                if first & DEFLATED:
                    self.deflated = self.deflated or zlib.decompressobj(-zlib.MAX_WBITS)
                    body = self.deflated.decompress(body + b"\x00\x00\xff\xff")
                self.hear(self, body.decode())
            case 8:
                self.code = int.from_bytes(body[:2], "big")
                self.transport.close()
            case 9:
                self.write(PONG, body)

    def write(self, kind: int, body: bytes) -> None:
        """One frame, with a mask of zeros: masked, as a client's frames must be, and for free."""
        size = len(body)
        head = bytes((0x80 | kind, 0x80 | size)) if size < 126 else bytes((0x80 | kind, 0xFE)) + size.to_bytes(2, "big")
        self.transport.write(head + b"\0\0\0\0" + body)

    def send(self, **frame: Any) -> None:
        self.write(TEXT, json.dumps({"v": 1, **frame}).encode())


async def connect(port: int, path: str, hear: Hear, *, session: str = "", host: str = "127.0.0.1") -> Socket:
    """A socket whose handshake is through."""
    cookie = f"Cookie: sessionid={session}\r\n" if session else ""
    key = base64.b64encode(os.urandom(16)).decode()
    request = HANDSHAKE.format(path=path, host=host, port=port, key=key, cookie=cookie).encode()
    _, socket = await asyncio.get_running_loop().create_connection(lambda: Socket(request, hear), host, port)
    await asyncio.wait_for(socket.open, 60)
    return socket
