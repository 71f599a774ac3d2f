"""Refuses a request body that is too large while it arrives: Django would first write all of it to disk.

An upload's own limit (STUDIO_MAX_UPLOAD) is checked again where the file is stored; this one only bounds the damage.
"""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings

from llmstudio import openai_errors

FRAME = 2**20  # around the file: a form's boundaries and other fields


class BodyLimit:
    """ASGI: wraps the HTTP application."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        left = settings.STUDIO_MAX_UPLOAD + FRAME
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > left:
            await _refuse(send)
            return
        refused = False

        async def counted() -> Any:
            nonlocal left, refused
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0 and not refused:
                refused = True
                await _refuse(send)
            return {"type": "http.disconnect"} if refused else message

        await self.app(scope, counted, send)


async def _refuse(send: Any) -> None:
    """In OpenAI's shape whatever the path: a browser's upload page checks the size before it sends."""
    body = json.dumps(openai_errors.body(413, openai_errors.SENTENCES[413])).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
