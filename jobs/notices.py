"""Small change notices over the channel layer: an object's id and version, never its content.

A page that hears one fetches what it shows again, through the same checks as ever. At most once and may be lost: a page
also asks when its socket returns.
"""

from __future__ import annotations

import logging
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import channel_layers
from django.db import transaction
from redis.exceptions import RedisError

log = logging.getLogger(__name__)


def team_group(team_id: Any) -> str:
    return f"team.{team_id}"


def changed(team_id: Any, kind: str, object_id: Any, version: int = 0) -> None:
    """Tell everyone in the team, after commit, that an object has changed (`chat`, `run`, `import`, `member`, ...)."""

    def send() -> None:
        try:
            async_to_sync(channel_layers["default"].group_send)(
                team_group(team_id), {"type": "changed", "object": f"{kind}:{object_id}", "version": version}
            )
        except (RedisError, OSError) as error:
            log.warning("A change notice for %s %s was not sent: %s", kind, object_id, error)

    transaction.on_commit(send, robust=True)
