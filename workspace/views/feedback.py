"""What people think of an answer: the buttons beside it, and what comes of them. Any answer of the team, wherever it is
shown; the fragment is templates/workspace/_feedback.html."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import url_has_allowed_host_and_scheme

from jobs.models import Generation
from llmstudio.asked import number_in
from llmstudio.http import StudioRequest
from workspace.diffs import word_diff
from workspace.models import Feedback, Message, NotKept

LONGEST_COMPARED = 60_000  # characters of both texts together


def feedback(request: StudioRequest, generation_id: UUID) -> HttpResponse:
    """The fragment. GET `edit` opens the correction, `changes` (a correction's id) marks its words; POST keeps an
    opinion: any of thumb, reasons with note, correction."""
    generation = get_object_or_404(Generation, team=request.team, pk=generation_id)
    if request.method == "GET":
        return fragment(request, generation, editing="edit" in request.GET)
    opinion = asked(request)
    try:
        Feedback.give(generation, request.user, **opinion)
    except NotKept as problem:
        return fragment(
            request, generation, problem=str(problem), editing="correction" in opinion,
            typed=opinion.get("correction"), typed_note=opinion.get("note"), status=422,
        )  # fmt: skip
    if "X-Fragment" in request.headers or request.htmx:
        return fragment(request, generation)
    return back(request, generation)


def feedback_use(request: StudioRequest, generation_id: UUID) -> HttpResponse:
    """Have later turns of the chat read a correction in place of this answer, or (without one) the answer again."""
    generation = get_object_or_404(Generation, team=request.team, pk=generation_id)
    message = get_object_or_404(Message.objects.select_related("chat"), generation=generation)
    row = None
    if key := request.POST.get("correction", ""):
        found = Feedback.objects.filter(generation=generation_id).exclude(correction="")
        row = get_object_or_404(found, pk=number_in(key, digits=18))
    message.stand_in = row
    message.save(update_fields=["stand_in"])
    message.chat.change()
    return fragment(request, generation) if "X-Fragment" in request.headers else back(request, generation)


def asked(request: StudioRequest) -> dict[str, Any]:
    """The opinion in a form: what is not in it is left as it was."""
    data = request.POST
    opinion: dict[str, Any] = {}
    if "thumb" in data:
        opinion["thumb"] = {"1": 1, "-1": -1, "": None}.get(data["thumb"], 0)
    if "reasons" in data or "note" in data:
        opinion["reasons"] = [reason for reason in data.getlist("reasons") if reason]
    for name in ("note", "correction"):
        if name in data:
            opinion[name] = data[name]
    return opinion


def fragment(request: StudioRequest, generation: Generation, *, status: int = 200, **more: Any) -> HttpResponse:
    opinions = Feedback.objects.opinions([generation.pk], request.user)[generation.pk]
    changes = request.GET.get("changes", "")
    compared = next((row for row in opinions.corrections if str(row.pk) == changes), None)
    if changes and compared is None:
        raise Http404
    too_long = compared and len(generation.latest.text) + len(compared.correction) > LONGEST_COMPARED
    context = {
        "generation": generation,
        "feedback": opinions,
        "message": Message.objects.filter(generation=generation).select_related("chat").first(),
        "compared": compared,
        "pieces": word_diff(generation.latest.text, compared.correction) if compared and not too_long else None,
        **more,
    }
    return render(request, "workspace/_feedback.html", context, status=status)


def back(request: StudioRequest, generation: Generation) -> HttpResponse:
    """To where the form was, for a browser without script."""
    page = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(page, {request.get_host()}):
        page = request.team.get_absolute_url()
    response = HttpResponse(status=303)
    response["Location"] = page
    return response
