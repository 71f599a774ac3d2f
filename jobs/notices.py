"""Small change notices over the channel layer: an object's id and version, never its content.

A page that hears one fetches what it shows again, through the same checks as ever. At most once and may be lost: a page
also asks when its socket returns.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from functools import cache, partial
from typing import Any

from channels.layers import channel_layers
from django.db import transaction
from redis.exceptions import RedisError

log = logging.getLogger(__name__)


def team_group(team_id: Any) -> str:
    return f"team.{team_id}"


def changed(team_id: Any, kind: str, object_id: Any, version: int = 0) -> None:
    """Tell everyone in the team, after commit, that an object has changed (`chat`, `run`, `import`, `member`, ...)."""

    event = {"type": "changed", "object": f"{kind}:{object_id}", "version": version}
    transaction.on_commit(lambda: _post(team_group(team_id), event), robust=True)


def _post(group: str, event: dict[str, Any]) -> None:
    """Send without waiting for it. The layer keeps a connection for each event loop, so one loop in a thread of its own
    sends all notices of this process: a loop for each notice, and so a connection, cost 2.5 ms of a chat's turn."""
    sending = asyncio.run_coroutine_threadsafe(channel_layers["default"].group_send(group, event), _post_office())
    sending.add_done_callback(partial(_posted, event["object"]))


def _posted(what: str, sending: Future[None]) -> None:
    try:
        sending.result()
    except (RedisError, OSError) as error:
        log.warning("A change notice for %s was not sent: %s", what, error)


@cache
def _post_office() -> asyncio.AbstractEventLoop:
    """Two at worst, if two threads come first at once."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="notices", daemon=True).start()
    return loop
