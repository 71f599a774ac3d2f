"""Keeping an answer as an example: from a chat, a playground cell or a data set's row, shown for editing first."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render

from llmstudio.asked import key_or_404
from llmstudio.http import StudioRequest
from workspace import sources
from workspace.examples import BadExample
from workspace.models import Archived, ExampleSet, TooMany
from workspace.sources import Source

LISTED = 200  # sets offered


def example_keep(request: StudioRequest) -> HttpResponse:
    """GET: the dialog, prefilled from the source. POST: keep it, in a set that is there or a new one."""
    asked = request.GET if request.method == "GET" else request.POST
    try:
        source = sources.find(asked.get("source_kind", ""), asked.get("source_id", ""), request.team)
    except sources.NotThere:
        raise Http404 from None
    return dialog(request, source) if request.method == "GET" else keep(request, source)


def keep(request: StudioRequest, source: Source) -> HttpResponse:
    given, name = request.POST.get("set", ""), " ".join(request.POST.get("new_set", "").split())
    text, output = (request.POST.get(field, getattr(source, field)) for field in ("input", "output"))
    try:
        with transaction.atomic():
            if name:
                found = ExampleSet.start(team=request.team, author=request.user, name=name[:120])
            elif given:
                sets = ExampleSet.objects.for_team(request.team).select_related("team")
                found = get_object_or_404(sets, pk=key_or_404(given))
            else:
                return dialog(request, source, "Choose a set, or name a new one.")
            found.add(
                request.user,
                input=text,
                output=output,
                values=source.values,
                source_kind=request.POST["source_kind"],
                source_id=request.POST["source_id"],
            )
    except (BadExample, TooMany, Archived) as error:
        return dialog(request, source, str(error))
    except IntegrityError:
        return dialog(request, source, f"There is a set named {name[:120]} already. Choose it from the list.")
    request.session["kept_in"] = str(found.pk)
    return render(request, "workspace/_example_kept.html", {"set": found, "place": len(found.newest.order)})


def dialog(request: StudioRequest, source: Source, problem: str = "") -> HttpResponse:
    typed = request.POST
    context = {
        "source": source,
        "kind": typed.get("source_kind") or request.GET.get("source_kind"),
        "key": typed.get("source_id") or request.GET.get("source_id"),
        "input": typed.get("input", source.input),
        "output": typed.get("output", source.output),
        "new_set": typed.get("new_set", ""),
        "sets": ExampleSet.objects.for_team(request.team)[:LISTED],
        "chosen": typed.get("set") or request.session.get("kept_in", ""),
        "problem": problem,
    }
    body = "_example_keep_body" if request.method == "POST" else "_example_keep"
    return render(request, f"workspace/{body}.html", context, status=422 if problem else 200)
