"""Comments: the panel of one object's threads, and what is done in it. Every act answers with the panel as it is then."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse, HttpResponseForbidden, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render

from llmstudio import rate
from llmstudio.asked import key_or_404, number_in
from llmstudio.http import StudioRequest
from workspace import anchors, mentions
from workspace.anchors import Anchor
from workspace.models import Comment, CommentRefused, Notification, User

THREADS = 100  # shown at once, the newest
ANSWERS = 1000
COUNTED = 500  # objects in one question for counts
A_MINUTE = 30  # comments of one person


def comments(request: StudioRequest, kind: str, object_id: str) -> HttpResponse:
    """What is said about one object; a POST says more."""
    anchor = anchors.find(request.team, kind, object_id, _part(request))
    if request.method == "GET":
        return panel(request, anchor) if request.htmx else redirect(anchor.url)
    under = _under(request, anchor)
    at = str(under.pk) if under else "new"
    if wait := rate.seconds_to_wait(f"comments:{request.user.pk}", A_MINUTE):
        refusal = f"You have written {A_MINUTE} comments in this minute. Wait {wait} s; what you typed is kept."
        return panel(request, anchor, error=refusal, error_at=at, status=429)
    try:
        said = Comment.post(anchor, request.user, request.POST.get("text", ""), under=under)
    except CommentRefused as problem:
        return panel(request, anchor, error=str(problem), error_at=at, status=422)
    return panel(request, anchor, show="open", said=said)


def comment(request: StudioRequest, comment_id: UUID) -> HttpResponse:
    """A comment by its own address: its page with the panel open there, or the panel alone."""
    found = _owned(request, comment_id)
    anchor = anchors.of(found)
    if not request.htmx:
        return redirect(anchor.link(found))
    root = found.parent or found
    whole = anchors.find(request.team, found.kind, found.object_id)
    return panel(request, whole, show="resolved" if root.resolved_at else "open", said=found)


def comment_edit(request: StudioRequest, comment_id: UUID) -> HttpResponse:
    found = _owned(request, comment_id)
    if found.author_id != request.user.pk:
        return HttpResponseForbidden("Only its author can change a comment.", content_type="text/plain")
    anchor = anchors.of(found)
    try:
        found.edit(anchor, request.POST.get("text", ""))
    except CommentRefused as problem:
        return panel(request, _shown(request, found), error=str(problem), error_at=f"edit-{found.pk}", status=422)
    return panel(request, _shown(request, found))


def comment_delete(request: StudioRequest, comment_id: UUID) -> HttpResponse:
    found = _owned(request, comment_id)
    if not found.may_be_removed_by(request.membership):
        return HttpResponseForbidden("Its author or an admin can delete a comment.", content_type="text/plain")
    shown = _shown(request, found)
    found.remove()
    return panel(request, shown)


def comment_resolve(request: StudioRequest, comment_id: UUID) -> HttpResponse:
    """Resolve the thread, or (undo) open it again."""
    found = _owned(request, comment_id)
    found.resolve(request.user, undo="undo" in request.POST)
    return panel(request, _shown(request, found))


def comment_counts(request: StudioRequest) -> JsonResponse:
    """Open threads on many objects of one kind, by id, and by id:part where parts are commented on."""
    ids = request.GET.getlist("id")[:COUNTED]
    found = Comment.objects.count_open(request.team, request.GET.get("kind", ""), ids)
    parts = {f"{key}:{part}": count for (key, part), count in found.by_part.items() if part is not None}
    return JsonResponse({"counts": {**{key: found.of(key) for key in ids}, **parts}})


def people(request: StudioRequest) -> JsonResponse:
    """Whom one can mention, with the name to write after the @."""
    members = list(User.objects.filter(memberships__team=request.team, is_active=True).order_by("name", "email"))
    callable_ = mentions.callable_by(members)
    shown = [
        {"name": str(user), "handle": mentions.handle(user, callable_), "email": user.email, "initials": user.initials}
        for user in members
    ]
    return JsonResponse({"people": shown})


def panel(
    request: StudioRequest,
    anchor: Anchor,
    *,
    show: str = "",
    said: Comment | None = None,
    error: str = "",
    error_at: str = "",
    status: int = 200,
) -> HttpResponse:
    """The threads on an object, open or resolved. Whoever looks has seen what they were told of here."""
    show = show or ("resolved" if request.GET.get("show") == "resolved" else "open")
    about = Comment.objects.filter(team=request.team).on(anchor.kind, anchor.object_id, anchor.part)
    every = about.select_related("author", "resolved_by").prefetch_related("mentioned")
    roots = list(every.threads().filter(resolved_at__isnull=show == "open").order_by("-created_at")[: THREADS + 1])
    more, roots = len(roots) > THREADS, roots[:THREADS][::-1]
    answers: dict[Any, list[Comment]] = {}
    for answer in every.filter(parent__in=roots)[:ANSWERS]:
        answers.setdefault(answer.parent_id, []).append(answer)
    shown = [*roots, *(answer for some in answers.values() for answer in some)]
    Notification.objects.of(request.team, request.user).filter(comment__in=[one.pk for one in shown]).read()
    is_open = about.threads().open().count()
    context = {
        "anchor": anchor,
        "threads": [(root, answers.get(root.pk, [])) for root in roots],
        "more": more,
        "show": show,
        "counts": {"open": is_open, "resolved": about.threads().count() - is_open},
        "query": f"{'' if anchor.part is None else f'part={anchor.part}&'}show={show}",
        "said": said,
        "error": error,
        "error_at": error_at,
    }
    return render(request, "workspace/_comments.html", context, status=status)


def _shown(request: StudioRequest, found: Comment) -> Anchor:
    """The panel that the act came from: of the whole object, or of one part."""
    return anchors.find(request.team, found.kind, found.object_id, _part(request))


def _part(request: StudioRequest) -> int | None:
    asked = request.GET.get("part")
    part = number_in(asked, digits=4)
    if asked and part is None:
        raise Http404
    return part


def _under(request: StudioRequest, anchor: Anchor) -> Comment | None:
    """The thread that is answered, if it is one on this object."""
    key = request.POST.get("under", "")
    if not key:
        return None
    on = Comment.objects.filter(team=request.team).on(anchor.kind, anchor.object_id)
    return get_object_or_404(on, pk=key_or_404(key))


def _owned(request: StudioRequest, comment_id: UUID) -> Comment:
    rows = Comment.objects.select_related("author", "parent", "team")
    return get_object_or_404(rows, team=request.team, pk=comment_id)
