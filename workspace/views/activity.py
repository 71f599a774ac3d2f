"""The activity of a team: who did what, newest first, by person and kind; and of one object alone."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import render

from llmstudio.asked import key_in, number_in
from llmstudio.http import StudioRequest
from workspace.models import Activity, User
from workspace.models.activity import COMMENTS, heard_as

PAGE = 50
KINDS = {
    "prompt": "Prompts",
    "exampleset": "Few-shot sets",
    "grid": "Playground",
    "chat": "Chats",
    "dataset": "Data sets",
    "finetune": "Fine-tunes",
    "adapter": "Adapters",
    "comment": "Comments",
    "team": "People",
}


def activity(request: StudioRequest) -> HttpResponse:
    rows = Activity.objects.filter(team=request.team).select_related("actor")
    asked = request.GET
    of, _, object_id = asked.get("of", "").partition(":")
    if of:
        rows = rows.filter(kind=of[:20], object_id=object_id[:64])
        if request.htmx:  # the fragment that {% activity %} draws, drawn again
            few = {"happenings": rows[: Activity.FEW], "of": asked["of"], "heard": heard_as(asked["of"])}
            return render(request, "workspace/_activity_of.html", few)
    who, kind, before = key_in(asked.get("who")), asked.get("kind", ""), asked.get("before", "")
    if who:
        rows = rows.filter(actor=who)
    if kind == "comment":
        rows = rows.filter(verb__in=COMMENTS)
    elif kind in KINDS:
        rows = rows.filter(kind=kind).exclude(verb__in=COMMENTS)
    if last := number_in(before, digits=18):
        rows = rows.filter(pk__lt=last)
    found = list(rows[: PAGE + 1])
    filters = {"who": str(who or ""), "kind": kind if kind in KINDS else "", "of": asked.get("of", "")}
    context: dict[str, Any] = {
        "happenings": found[:PAGE],
        "older": found[PAGE - 1].pk if len(found) > PAGE else None,
        "people": User.objects.filter(memberships__team=request.team).order_by("name", "email"),
        "kinds": KINDS,
        "filters": filters,
        "filtered": any(filters.values()),
        "query": urlencode({name: value for name, value in filters.items() if value}),
        "before": before,
    }
    return render(request, "workspace/_activity.html" if request.htmx else "workspace/activity.html", context)
