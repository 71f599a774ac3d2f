"""A body that is too large is refused while it arrives, announced or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmstudio.body_limit import FRAME, BodyLimit


class Reader:
    """An application that reads the whole body, as Django does."""

    def __init__(self) -> None:
        self.read = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.read += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def status_of(app: Reader, size: int, *, announced: bool) -> int:
    async def chunks() -> AsyncIterator[Any]:
        left = size
        while left:
            part = min(left, 100_000)
            left -= part
            yield {"type": "http.request", "body": b"x" * part, "more_body": left > 0}

    source = chunks()
    sent: list[Any] = []

    async def receive() -> Any:
        return await anext(source)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", str(size).encode())] if announced else []
    await BodyLimit(app)({"type": "http", "headers": headers}, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize("announced", [True, False])
async def test_only_a_body_within_the_limit_is_read(settings: Any, announced: bool) -> None:
    settings.STUDIO_MAX_UPLOAD = 300_000
    limit = 300_000 + FRAME
    app = Reader()
    assert await status_of(app, limit, announced=announced) == 200
    assert app.read == limit
    app = Reader()
    assert await status_of(app, limit * 3, announced=announced) == 413
    assert app.read <= limit
