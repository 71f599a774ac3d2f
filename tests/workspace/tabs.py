"""One open page, as the server hears it and as it hears the server."""

from __future__ import annotations

import json

from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter
from django.urls import path

from workspace.consumers import StudioConsumer

door = URLRouter([path("ws/<slug:team>/", StudioConsumer.as_asgi())])
stored = sync_to_async


class Tab:
    """One open page: what it says and what it hears. (channels.testing would want daphne installed.)"""

    def __init__(self, user, slug, app=door, headers=()):
        scope = {
            "type": "websocket",
            "path": f"/ws/{slug}/",
            "query_string": b"",
            "headers": list(headers),
            "subprotocols": [],
        }
        self.line = ApplicationCommunicator(app, scope | ({"user": user} if user else {}))

    async def __aenter__(self):
        await self.line.send_input({"type": "websocket.connect"})
        self.first = await self.line.receive_output(5)
        self.hello = await self.hear("hello") if self.first["type"] == "websocket.accept" else None
        return self

    async def __aexit__(self, *_):
        await self.line.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.line.wait(5)

    async def say(self, **frame):
        await self.send(json.dumps({"v": 1, **frame}))

    async def send(self, text):
        await self.line.send_input({"type": "websocket.receive", "text": text})

    async def hear(self, kind, **fields):
        """The next frame of this type; others on the way are skipped. None when the socket is closed instead."""
        while (event := await self.line.receive_output(5))["type"] == "websocket.send":
            frame = json.loads(event["text"])
            if frame["type"] == kind and all(frame.get(key) == value for key, value in fields.items()):
                return frame
        self.code = event.get("code")
        return None

    async def hear_any(self):
        return json.loads((await self.line.receive_output(5))["text"])

    async def closed(self):
        assert await self.hear("nothing of this name") is None
        return self.code
