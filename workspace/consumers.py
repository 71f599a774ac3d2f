"""The one websocket of a tab: JSON frames in and out, each action authorised where it is handled.

In: subscribe, unsubscribe, send, stop, typing. Out: see docs/architecture.md, "Replies and the token log".
Notices say that something changed, never what: the page asks again over HTTP, through the same checks as ever.
What they ask of the database is in frame_asks.py, the replies that a tab follows in following.py; where it is, and who
is with it, in whereabouts.py.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from functools import partial
from typing import Any, cast
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.db.models import Exists
from redis.exceptions import RedisError

from jobs.notices import team_group
from llmstudio.policy import SOCKET
from workspace import presence
from workspace.chats import Refused
from workspace.following import Following
from workspace.frame_asks import ASKS, generation_in
from workspace.heart import Heart, Standing
from workspace.models import Membership, Message, Role, User
from workspace.whereabouts import Whereabouts

log = logging.getLogger(__name__)

MAX_FRAME = 256 * 1024  # characters
MAX_SUBSCRIPTIONS = 320  # things a tab follows: a screen full of playground cells, and what the page shows besides
BURST, PER_SECOND = 60, 10  # frames a socket may send at once, and steadily
BEAT = json.dumps({"v": 1, "type": "beat"})
PLACES = ("page", "room")  # a page without an object of its own; the part of the studio that any page is in
PLACE = re.compile(r"[a-z][a-z0-9_]{0,39}")

SIGNED_OUT, REMOVED, NO_TEAM = 4401, 4403, 4404

Frame = dict[str, Any]
in_thread = partial(database_sync_to_async, thread_sensitive=False)


class Removed(Exception):
    """They are out of the team, or signed out, since the socket was opened."""


class StudioConsumer(AsyncJsonWebsocketConsumer):
    """One tab of one person in one team."""

    user: User
    slug: str
    group = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.following = Following(self.send_json)
        self.allowance, self.refilled = float(BURST), time.monotonic()
        self.heart = Heart.current()

        async def send_if_there(message: Any) -> None:
            with contextlib.suppress(OSError):  # the other end has gone; its disconnect is on the way to us
                await send(message)

        try:
            await super().__call__(scope, receive, send_if_there)
        finally:  # also when the server or a handler breaks off: no task outlives its socket
            await self.heart.leave(self)
            await self.following.stop_all()
            if self.group:
                with contextlib.suppress(RedisError, OSError):
                    await self.channel_layer.group_discard(self.group, self.channel_name)
                await self.here.leave_all()

    # --- coming and going

    async def connect(self) -> None:
        await self.accept()  # before any refusal: only an accepted socket can carry a close code
        self.user, self.slug = cast(User, self.scope["user"]), self.scope["url_route"]["kwargs"]["team"]
        if not self.user.is_authenticated:
            return await self.close(SIGNED_OUT)
        membership = await in_thread(self.standing)()
        if membership is None:
            return await self.close(NO_TEAM)
        self.team = membership.team
        self.here = Whereabouts(self.user, self.team, self.channel_name, self.out)
        self.group = team_group(self.team.pk)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.out("hello", user={"id": str(self.user.pk), "name": str(self.user)}, team=self.slug)
        session: SessionBase | None = self.scope.get("session")
        key = session.session_key if session is not None else None
        self.heart.join(self, Standing(key, self.user.pk, self.team.pk))
        return None

    def standing(self) -> Membership | None:
        """The person's membership now, or None once they are out of the team, deactivated or signed out."""
        found = Membership.objects.filter(user=self.user.pk, team__slug=self.slug, user__is_active=True)
        session: SessionBase | None = self.scope.get("session")
        if session is not None:
            found = found.filter(Exists(Session.objects.filter(session_key=session.session_key or "")))
        return found.select_related("team").first()

    def marks(self) -> list[presence.Mark]:
        return self.here.marks()

    async def beat(self, stands: bool, people: dict[str, list[str]]) -> None:
        if not stands:
            return await self.close(REMOVED)
        await self.here.see(people)
        await self.send(BEAT)
        return None

    async def out(self, kind: str, **fields: Any) -> None:
        await self.send_json({"v": 1, "type": kind, **fields})

    async def error(self, code: str, message: str, frame: Frame | None = None) -> None:
        about = {key: frame[key] for key in ("client_id", "to", "chat") if frame and isinstance(frame.get(key), str)}
        await self.out("error", code=code, message=message, **about)

    # --- frames in

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        if text_data is None:
            return await self.error("bad_frame", "Frames are JSON text.")
        if len(text_data) > MAX_FRAME:
            return await self.error(
                "too_long", f"A frame holds at most {MAX_FRAME:,} characters; this one has {len(text_data):,}."
            )
        try:
            frame = json.loads(text_data)
        except (ValueError, RecursionError):
            return await self.error("bad_frame", "This frame is not JSON.")
        if not isinstance(frame, dict) or frame.get("v") != 1 or not isinstance(frame.get("type"), str):
            return await self.error("bad_frame", 'A frame is an object with "v": 1 and a "type".')
        await self.act(frame)
        return None

    async def act(self, frame: Frame) -> None:
        """Allowance, role, then the action; whatever is wrong with it comes back as an error frame."""
        least, action = SOCKET.get(frame["type"]), getattr(self, f"on_{frame['type']}", None)
        if least is None or action is None:
            return await self.error("unknown_type", "There is no such frame type.", frame)
        if not self.allow():
            return await self.error("too_fast", "Too many frames at once. Wait a few seconds and try again.", frame)
        try:
            await action(frame, await self.admit(least, frame))
        except Removed:
            await self.close(REMOVED)
        except Refused as refusal:
            await self.error(refusal.code, str(refusal), frame)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            await self.error("bad_frame", "This frame lacks something, or has it in the wrong form.", frame)
        except DatabaseError as error:
            log.warning("The database did not answer a socket: %s", error)
            await self.error(
                "unavailable",
                "The database does not answer just now. Nothing was stored; try again in a moment.",
                frame,
            )

    @in_thread
    def admit(self, least: int, frame: Frame) -> Any:
        """Check the person's standing, then do what the frame asks of the database; what comes of that is for its action.
        Both in one thread: a thread and a connection for each took a third of a message's time."""
        membership = self.standing()
        if membership is None:
            raise Removed
        if not membership.may(least):
            role, needed = Role(membership.role).label.lower(), Role(least).label.lower()
            raise Refused("forbidden", f"Your role here is {role}; this takes {needed}. An admin can change it.")
        ask = ASKS.get(frame["type"])
        return ask(self.user, self.team, frame) if ask else None

    def allow(self) -> bool:
        now = time.monotonic()
        self.allowance = min(BURST, self.allowance + (now - self.refilled) * PER_SECOND)
        self.refilled = now
        if self.allowance < 1:
            return False
        self.allowance -= 1
        return True

    async def on_subscribe(self, frame: Frame, ours: list[UUID]) -> None:
        """To one thing, or to a list of generations (then `after` has a number for each name that was seen before)."""
        if isinstance(frame["to"], list):
            return await self.follow_all(frame["to"], frame.get("after") or {}, ours)
        kind, _, key = frame["to"].partition(":")
        place = kind in PLACES and PLACE.fullmatch(key)
        thing, after = frame["to"] if place else f"{kind}:{UUID(key)}", int(frame.get("after") or 0)
        if thing not in self.following and thing not in self.here and self.has_no_room_for(1):
            return await self.error("too_many", f"A tab follows at most {MAX_SUBSCRIPTIONS} things at once.", frame)
        if place:
            return await self.here.be_in(kind, key)
        if not ours:
            return await self.error("not_found", "There is no such thing in this team.", frame)
        if kind == "generation":
            await self.following.start(UUID(key), after)
        else:
            await self.here.enter(thing)
        return None

    async def follow_all(self, names: list[str], seen: dict[str, Any], ours: list[UUID]) -> None:
        """Those that are this team's (`ours`) are followed; the others are named in one error."""
        after = {generation_in(name): int(seen.get(name) or 0) for name in names}
        if self.has_no_room_for(sum(f"generation:{key}" not in self.following for key in after)):
            return await self.error("too_many", f"A tab follows at most {MAX_SUBSCRIPTIONS} things at once.")
        for key in ours:
            await self.following.start(key, after[key])
        if missing := [f"generation:{key}" for key in after if key not in ours]:
            await self.out("error", code="not_found", message="There is no such thing in this team.", to=missing)
        return None

    async def on_unsubscribe(self, frame: Frame, _: None) -> None:
        names = frame["to"] if isinstance(frame["to"], list) else [frame["to"]]
        for thing in map(str, names[:MAX_SUBSCRIPTIONS]):
            await self.following.stop(thing)
            await self.here.leave(thing)

    def has_no_room_for(self, more: int) -> bool:
        return len(self.following) + len(self.here) + more > MAX_SUBSCRIPTIONS

    async def on_send(self, frame: Frame, reply: Message) -> None:
        await self.out(
            "response.created",
            chat=str(reply.chat_id),
            message=str(reply.pk),
            generation=str(reply.generation_id),
            client_id=frame["client_id"],
        )

    async def on_stop(self, frame: Frame, _: None) -> None:
        """Its worker sees the mark, and the end of the reply is told as ever."""

    async def on_typing(self, frame: Frame, _: None) -> None:
        thing = f"chat:{UUID(frame['chat'])}"
        if thing in self.here:  # so it is a chat of this team
            event = {"type": "typing", "object": thing, "user": str(self.user.pk), "name": str(self.user)}
            await presence.tell(self.group, event)

    # --- notices from the team's group

    async def changed(self, event: Frame) -> None:
        if event["object"] == f"member:{self.user.pk}" and await in_thread(self.standing)() is None:
            return await self.close(REMOVED)
        if event["object"].startswith("bell:") and event["object"] != f"bell:{self.user.pk}":
            return None  # a bell rings for its owner alone
        await self.out("changed", object=event["object"], version=event["version"])
        return None

    async def presence(self, event: Frame) -> None:
        if event["object"] in self.here:
            await self.here.show_people(event["object"])

    async def typing(self, event: Frame) -> None:
        if event["object"] in self.here and event["user"] != str(self.user.pk):
            await self.out("typing", chat=event["object"].partition(":")[2], name=event["name"])
