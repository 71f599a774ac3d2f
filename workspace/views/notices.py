"""The notification centre: the bell's panel, the page of all, and what marks them as read."""

from __future__ import annotations

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render

from llmstudio.asked import number_in
from llmstudio.http import StudioRequest
from workspace.models import Notification

LATEST = 8  # in the bell's panel
PAGE = 50


def notices(request: StudioRequest) -> HttpResponse:
    """All of them, newest first, `before` the last one seen; htmx asks for the bell's few alone."""
    mine = Notification.objects.of(request.team, request.user).select_related("actor", "team")
    if request.htmx and request.GET.get("bell"):
        context = {"notices": mine[:LATEST], "unread": mine.unread().count()}
        return render(request, "workspace/_bell.html", context)
    show, before = request.GET.get("show", ""), request.GET.get("before", "")
    rows = mine.unread() if show == "unread" else mine
    if last := number_in(before, digits=18):
        rows = rows.filter(pk__lt=last)
    found = list(rows[: PAGE + 1])
    context = {
        "notices": found[:PAGE],
        "older": found[PAGE - 1].pk if len(found) > PAGE else None,
        "show": show,
        "before": before,
        "unread": mine.unread().count(),
    }
    return render(request, "workspace/_notices.html" if request.htmx else "workspace/notices.html", context)


def notices_count(request: StudioRequest) -> JsonResponse:
    return JsonResponse({"unread": Notification.objects.of(request.team, request.user).unread().count()})


def notices_read(request: StudioRequest) -> HttpResponse:
    """Mark all as read."""
    Notification.objects.of(request.team, request.user).read()
    return HttpResponse(status=204) if request.htmx else redirect("notices", team=request.team.slug)


def notice(request: StudioRequest, notice_id: int) -> HttpResponse:
    """Open one: it counts as read, and leads to its page."""
    mine = Notification.objects.of(request.team, request.user)
    found = get_object_or_404(mine, pk=notice_id)
    mine.filter(pk=found.pk).read()
    return redirect(found.url)
