"""ASGI, before Django: answers a fetch of a prompt that it has answered before, if the database says nothing changed.

Programs fetch the same prompt again and again, and Django's way to that answer is long. Here it is one query: is the key
still good, does its person's role still suffice, and are the prompts that the answer was made from still as they were?
Then the same bytes leave again, or a 304. Whatever else (the first time, a change, an error, a limit) goes to Django,
which alone decides; so a revoked key, a moved label or an archived prompt counts from the next request on. It does not
know what a prompt is: views tell it what their answer was made from by `depends`.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.utils.http import parse_etags
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from llmstudio import rate
from llmstudio.gate import secret_in
from llmstudio.policy import ROUTES

log = logging.getLogger(__name__)

PATHS = {"/api/public/v2/prompts/": "langfuse:prompt", "/api/prompts/": "api:prompt"}
KEPT_BYTES = 32 * 2**20  # of answers in one process
SECONDS = 50.0  # after that Django answers once, and notes that the key is in use
DEPENDS = "studio.depends"

ASKED_BY = {b"authorization", b"host", b"x-forwarded-proto", b"if-none-match"}  # all that an answer depends on

# Nothing of this may be remembered: it is what makes an old answer right.
STANDING = """
SELECT key.id, member.role, prompt.id, prompt.xmin::text
FROM workspace_apikey AS key
JOIN workspace_user AS person ON person.id = key.user_id AND person.is_active
JOIN workspace_membership AS member ON member.team_id = key.team_id AND member.user_id = key.user_id
JOIN workspace_prompt AS prompt ON prompt.team_id = key.team_id AND prompt.archived_at IS NULL
WHERE key.digest = %s AND prompt.id = ANY(%s) AND key.revoked_at IS NULL
  AND (key.expires_at IS NULL OR key.expires_at > clock_timestamp())
"""


def depends(request: Any, stamps: Mapping[str, str]) -> None:
    """This answer was made from these prompts, as they were (id -> stamp), and from nothing else that changes."""
    scope = getattr(request, "scope", None)
    if scope is not None and DEPENDS in scope:
        scope[DEPENDS].update(stamps)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    stamps: dict[str, str] = field(default_factory=dict)
    etag: bytes = b""
    at: float = 0.0

    @property
    def size(self) -> int:
        return len(self.body) + 2000


class PromptDoor:
    """Wraps the HTTP application. One per process, for one event loop."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.answers: OrderedDict[tuple[Any, ...], Answer] = OrderedDict()
        self.bytes = 0
        self.pool: AsyncConnectionPool | None = None
        self.tally = rate.Tally()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"]
        view = next((PATHS[start] for start in PATHS if path.startswith(start)), None)
        if view is None or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        asked = {name: value for name, value in scope["headers"] if name in ASKED_BY}
        secret = secret_in(asked.get(b"authorization", b"").decode("latin-1"))
        digest = hashlib.sha256(secret.encode()).hexdigest()
        key = (digest, path, scope["query_string"], asked.get(b"host"), asked.get(b"x-forwarded-proto"))
        known = self.answers.get(key)
        if known is None or not await self.holds(known, view, digest):
            known = await self.ask_django(key, scope, receive)
        if known is None:
            return
        await reply(send, known, asked.get(b"if-none-match"))

    async def holds(self, known: Answer, view: str, digest: str) -> bool:
        """Whether Django would say the same again."""
        if time.monotonic() - known.at > SECONDS:
            return False
        try:
            pool = await self.opened()
            async with pool.connection() as held:
                rows = await (await held.execute(STANDING, [digest, list(known.stamps)])).fetchall()
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("A repeated fetch was not checked (%s); it takes the long way.", error)
            return False
        if not rows or rows[0][1] < ROUTES[view]["GET"]:
            return False
        if {str(prompt): stamp for _, _, prompt, stamp in rows} != known.stamps:
            return False
        return await self.tally.allows(f"{rows[0][0]}:prompts", settings.STUDIO_PROMPT_RATE)

    async def ask_django(self, key: tuple[Any, ...], scope: dict[str, Any], receive: Any) -> Answer | None:
        """Django's whole answer (a 304 is made here), kept if it said what it depends on. None where it says nothing: the
        program has gone."""
        stamps: dict[str, str] = {}
        headers = [(name, value) for name, value in scope["headers"] if name != b"if-none-match"]
        said: dict[str, Any] = {}
        body = bytearray()

        async def listen(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                said.update(status=message["status"], headers=message["headers"])
            else:
                body.extend(message.get("body", b""))

        await self.app({**scope, "headers": headers, DEPENDS: stamps}, receive, listen)
        if not said:
            return None
        etag = next((value for name, value in said["headers"] if name.lower() == b"etag"), b"")
        answer = Answer(said["status"], list(said["headers"]), bytes(body), stamps, etag, time.monotonic())
        if answer.status == 200 and stamps and etag:
            self.keep(key, answer)
        return answer

    def keep(self, key: tuple[Any, ...], answer: Answer) -> None:
        """The oldest give way."""
        if old := self.answers.pop(key, None):
            self.bytes -= old.size
        self.answers[key] = answer
        self.bytes += answer.size
        while self.bytes > KEPT_BYTES:
            _, oldest = self.answers.popitem(last=False)
            self.bytes -= oldest.size

    async def opened(self) -> AsyncConnectionPool:
        """A few connections of its own: Django's belong to threads."""
        if self.pool is None:
            params = dict(connection.get_connection_params())
            for name in ("context", "cursor_factory", "pool"):
                params.pop(name, None)
            self.pool = AsyncConnectionPool(
                kwargs={**params, "autocommit": True}, min_size=1, max_size=4, timeout=5, open=False
            )
            await self.pool.open()
        return self.pool


async def reply(send: Any, answer: Answer, known_to_them: bytes | None) -> None:
    headers = [(name, value) for name, value in answer.headers if name.lower() != b"x-request-id"]
    headers.append((b"x-request-id", f"req_{uuid.uuid4().hex}".encode()))
    status, body = answer.status, answer.body
    if known_to_them is not None and answer.etag and _has(known_to_them, answer.etag):
        status, body = 304, b""
        headers = [(name, value) for name, value in headers if not name.lower().startswith(b"content-")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _has(known_to_them: bytes, etag: bytes) -> bool:
    if known_to_them == etag:
        return True
    theirs = parse_etags(known_to_them.decode("latin-1"))
    return "*" in theirs or etag.decode() in {one.removeprefix("W/") for one in theirs}
