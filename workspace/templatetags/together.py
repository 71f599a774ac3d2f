"""Tags of what people do together: the button of an object's comments, the bell's number, an object's activity.

{% load together %}
{% comments "prompt_version" version.pk %}            one button, one query
{% comments "prompt_version" version.pk part=2 %}     on one message of the version
{% comment_counts "cell" cells as open_threads %}     many objects (or ids), one query, and then for each:
{% comments "cell" cell.pk counts=open_threads %}
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.urls import reverse

from workspace.models import Comment, Notification
from workspace.models.comments import OpenThreads

register = template.Library()


@register.simple_tag(takes_context=True)
def comment_counts(context: dict[str, Any], kind: str, things: Iterable[Any]) -> OpenThreads:
    """Open threads on each of many objects (anything with a pk) or ids."""
    return Comment.objects.count_open(context["team"], kind, [getattr(thing, "pk", thing) for thing in things])


@register.inclusion_tag("workspace/_comments_button.html", takes_context=True)
def comments(
    context: dict[str, Any], kind: str, object_id: Any, part: int | None = None, counts: OpenThreads | None = None
) -> dict[str, Any]:
    """The button that opens an object's comments, with how many threads are open."""
    team = context["team"]
    if counts is None:
        counts = Comment.objects.count_open(team, kind, [object_id])
    url = reverse("comments", kwargs={"team": team.slug, "kind": kind, "object_id": str(object_id)})
    return {
        "on": f"{kind}:{object_id}",
        "part": part,
        "url": url if part is None else f"{url}?part={part}",
        "count": counts.of(object_id, part),
    }


@register.simple_tag(takes_context=True)
def unread_notices(context: dict[str, Any]) -> int:
    """How many notifications this person has not read in this team."""
    return Notification.objects.of(context["team"], context["request"].user).unread().count()
