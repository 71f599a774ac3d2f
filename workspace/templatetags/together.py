"""Tags of what people do together: the button of an object's comments, the bell's number, an object's activity.

{% load together %}
{% comments "prompt_version" version.pk %}            one button, one query
{% comments "prompt_version" version.pk part=2 %}     on one message of the version
{% comment_counts "cell" cells as open_threads %}     many objects (or ids), one query, and then for each:
{% comments "cell" cell.pk counts=open_threads %}
    {% activity prompt %}                                 what was done to one object, newest first, live
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from workspace.models import Activity, Comment, Notification
from workspace.models.activity import heard_as
from workspace.models.comments import OpenThreads
from workspace.templatetags.studio import icon

register = template.Library()

# The parameter of a page's address -> the kind under which sockets know its object (WATCHED in workspace/consumers.py).
OBJECTS = {
    "chat_id": "chat",
    "prompt_id": "prompt",
    "set_id": "examples",
    "grid_id": "grid",
    "dataset_id": "dataset",
    "finetune_id": "run",
    "import_id": "import",
}
# How the names of views begin -> the rail's link they belong to.
ROOMS = {
    "chat": "chat",
    "prompt": "prompts",
    "example": "prompts",
    "leave_one": "prompts",
    "grid": "prompts",
    "dataset": "data",
    "import": "data",
    "finetune": "finetunes",
    "model": "models",
    "team_settings": "settings",
    "activity": "activity",
}


@register.simple_tag(takes_context=True)
def here(context: dict[str, Any]) -> str:
    """Where this page is, as presence names it: its object, or else the page."""
    match = context["request"].resolver_match
    kind = next((name for name in match.kwargs if name in OBJECTS), None) if match else None
    return f"{OBJECTS[kind]}:{match.kwargs[kind]}" if kind else f"page:{match.view_name if match else 'none'}"


@register.simple_tag(takes_context=True)
def room(context: dict[str, Any]) -> str:
    """The part of the studio this page is in."""
    match = context["request"].resolver_match
    name = match.view_name if match else ""
    return next((place for start, place in ROOMS.items() if name.startswith(start)), "elsewhere")


@register.simple_tag(takes_context=True)
def comment_counts(context: dict[str, Any], kind: str, things: Iterable[Any]) -> OpenThreads:
    """Open threads on each of many objects (anything with a pk) or ids."""
    return Comment.objects.count_open(context["team"], kind, [getattr(thing, "pk", thing) for thing in things])


BUTTON = (
    '<button type="button" class="button button-quiet button-small comments-button" data-comments="{}:{}"{} data-url="{}{}" '
    'title="Comments" aria-label="Comments{}">{}<span class="comments-count">{}</span></button>'
)
HOLE = "\0"  # stands for the object's id in a button that is kept; no name or address holds it


@register.simple_tag(takes_context=True)
def comments(
    context: dict[str, Any], kind: str, object_id: Any, part: int | None = None, counts: OpenThreads | None = None
) -> SafeString:
    """The button that opens an object's comments, with how many threads are open. A list has a hundred of them, so the
    button is drawn once for each number and gets its id by replacing: a tenth of the time of formatting each."""
    team = context["team"]
    if counts is None:
        counts = Comment.objects.count_open(team, kind, [object_id])
    button = _button(team.slug, kind, part, counts.of(object_id, part))
    return mark_safe(button.replace(HOLE, escape(str(object_id))))  # noqa: S308 - drawn by format_html


@lru_cache(maxsize=1024)
def _button(team: str, kind: str, part: int | None, count: int) -> str:
    return str(format_html(
        BUTTON, kind, HOLE, "" if part is None else format_html(' data-part="{}"', part),
        comments_url(team, kind, HOLE), "" if part is None else f"?part={part}",
        f": {count} open" if count else "", icon("message-circle"), count or "",
    ))  # fmt: skip


def comments_url(team: str, kind: str, object_id: Any) -> str:
    return _comments_root(team, kind) + f"{object_id}/"


@lru_cache(maxsize=256)
def _comments_root(team: str, kind: str) -> str:
    """The address up to the object's id: finding it takes longer than writing the id."""
    return reverse("comments", kwargs={"team": team, "kind": kind, "object_id": "0"}).removesuffix("0/")


@register.simple_tag(takes_context=True)
def unread_notices(context: dict[str, Any]) -> int:
    """How many notifications this person has not read in this team."""
    return Notification.objects.unread_by(context["team"], context["request"].user)


@register.inclusion_tag("workspace/_activity_of.html", takes_context=True)
def activity(context: dict[str, Any], thing: Any) -> dict[str, Any]:
    """What was done to one object of the team."""
    of = f"{thing._meta.model_name}:{thing.pk}"
    happenings = Activity.objects.of(thing).select_related("actor")[: Activity.FEW]
    return {"team": context["team"], "happenings": happenings, "of": of, "heard": heard_as(of)}
