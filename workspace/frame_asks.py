"""What the frames of a socket ask of the database: plain functions of a person, their team and the frame.

Each looks only in that team: what is another's is as missing as what never was. They know neither sockets nor roles,
which the consumer has looked at, in the same thread and the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from jobs.models import Dataset, FineTune, Generation, Import
from workspace.chats import Refused
from workspace.models import Chat, ExampleSet, Grid, Message, Prompt, Team, User

MAX_NAMED = 250  # generations in one frame
MAX_ATTACHED = 20  # to one message
WATCHED = {
    "chat": Chat,
    "dataset": Dataset,
    "examples": ExampleSet,
    "generation": Generation,
    "grid": Grid,
    "import": Import,
    "prompt": Prompt,
    "run": FineTune,
}

Frame = dict[str, Any]


def subscribe(user: User, team: Team, frame: Frame) -> list[UUID]:
    """Which of the things named are this team's; replies in the order in which they were asked for."""
    if isinstance(frame["to"], list):
        if len(frame["to"]) > MAX_NAMED:
            raise Refused("too_many", f"One frame names at most {MAX_NAMED} replies.")
        named = Generation.objects.filter(team=team, pk__in=[generation_in(name) for name in frame["to"]])
        return list(named.order_by("queued_at", "pk").values_list("pk", flat=True))
    kind, _, key = frame["to"].partition(":")
    if kind not in WATCHED:
        return []
    return list(WATCHED[kind]._default_manager.filter(team=team, pk=UUID(key)).values_list("pk", flat=True))


def send(user: User, team: Team, frame: Frame) -> Message:
    """One of: say something new, answer again (no text), or go on with a reply that broke off. The reply to come."""
    chat = Chat(pk=UUID(frame["chat"]), team=team)  # whichever of these it is finds it in the team, and locks it
    client_id, text = frame["client_id"], frame.get("text")
    if not isinstance(client_id, str) or not 8 <= len(client_id) <= 64:
        raise Refused("bad_frame", "client_id is a text of 8 to 64 characters.")
    if frame.get("continue"):
        return chat.continue_(user, UUID(frame["continue"]), client_id=client_id)
    if text is None:
        return chat.regenerate(user, UUID(frame["parent"]), client_id=client_id, drop=frame.get("drop") is True)
    parent = UUID(frame["parent"]) if frame.get("parent") else None
    attached = [UUID(key) for key in frame.get("attached") or []][:MAX_ATTACHED]
    return chat.send(user, str(text), parent=parent, client_id=client_id, attached=attached)


def stop(user: User, team: Team, frame: Frame) -> None:
    generation = Generation.objects.filter(team=team, pk=UUID(frame["generation"])).first()
    if generation is None:
        raise Refused("not_found", "There is no such thing in this team.")
    generation.request_cancel()


def generation_in(name: str) -> UUID:
    return UUID(name.removeprefix("generation:"))


ASKS: Mapping[str, Callable[[User, Team, Frame], Any]] = {"subscribe": subscribe, "send": send, "stop": stop}
