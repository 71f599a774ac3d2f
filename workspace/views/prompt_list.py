"""The list of prompts and what is done from it: star, archive with undo, tag, move, the starter prompts."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode

from llmstudio.asked import key_or_404
from llmstudio.http import StudioRequest
from workspace import bulk, prompt_list, starters
from workspace.interchange import FORMATS
from workspace.models import Archived, LabelRefused, Prompt
from workspace.models.labels import check_archivable
from workspace.prompt_list import Filters


def prompts(request: StudioRequest) -> HttpResponse:
    """The list. htmx asks for what the filters leave, or for the next page alone."""
    filters = Filters.from_query(request.GET)
    if request.htmx and "after" in request.GET:
        with prompt_list.by_index(filters):
            page = prompt_list.page(filters, request.team, request.user, request.GET["after"])
        return render(request, "workspace/_prompt_list_rows.html", {"page": page, "filters": filters})
    context = listed(request, filters)
    if request.htmx:
        return render(request, "workspace/_prompt_list.html", context)
    return render(request, "workspace/prompts.html", context | {"undo": put_away(request)})


def listed(request: StudioRequest, filters: Filters) -> dict[str, Any]:
    found = filters.apply(request.team, request.user)
    tree, everything = prompt_list.folders(filters, request.team)
    with prompt_list.by_index(filters):
        page = prompt_list.page(filters, request.team, request.user, request.GET.get("after", ""))
        tags, total = prompt_list.tags(filters, found)
    return {
        "filters": filters,
        "page": page,
        "total": total,
        "everything": everything,
        "folders": tree,
        "crumbs": prompt_list.crumbs(filters),
        "tags": tags,
        "labels": () if request.htmx else prompt_list.label_names(request.team),
        "sorts": prompt_list.SORTS,
        "kinds": Prompt.Kind.choices,
        "formats": FORMATS,
        "page_size": prompt_list.PAGE,
    }


def put_away(request: StudioRequest) -> dict[str, Any] | None:
    """What has just been archived and can be taken back."""
    try:
        at = datetime.fromisoformat(request.GET.get("undo", ""))
        names = list(bulk.put_away_at(request.team, at).values_list("name", flat=True)[: bulk.MOST])
    except ValueError:
        return None
    return {"at": at.isoformat(), "names": names} if names else None


def prompt_favourite(request: StudioRequest, prompt_id: UUID) -> HttpResponse:
    """A person's own star, on or off as asked for."""
    prompt = get_object_or_404(Prompt, team=request.team, pk=prompt_id)
    on = request.POST.get("on") == "1"
    if on:
        prompt.favourites.add(request.user)
    else:
        prompt.favourites.remove(request.user)
    if request.htmx:
        return render(request, "workspace/_star.html", {"prompt": prompt, "on": on})
    return redirect("prompts", team=request.team.slug)


def prompts_act(request: StudioRequest) -> HttpResponse:
    """Archive, restore, tag or move those that were chosen; then back to the same list."""
    filters = Filters.from_query(QueryDict(request.POST.get("here", "")))
    act = request.POST.get("act", "")
    extra: dict[str, Any] = {}
    try:
        if act == "undo":
            say_restored(request, taken_back(request))
        elif not (chosen := picked(request)):
            raise bulk.NotDone("Nothing was chosen. Tick the prompts first.")
        elif act == "archive":
            check_archivable(chosen, request.membership)
            at = bulk.archive(chosen, request.user)
            extra = {"undo": at.isoformat()} if at else {}
        elif act == "restore":
            check_archivable(chosen, request.membership)
            say_restored(request, (len(chosen), bulk.restore(chosen, request.user)))
        elif act in ("tag", "untag"):
            said(request, act, chosen)
        elif act == "move":
            count = bulk.move(chosen, request.user, request.POST.get("to", ""))
            messages.info(request, f"Moved {plural(count)}. Includes and programs find them by their new names.")
        else:
            raise Http404
    except (bulk.NotDone, LabelRefused, Archived) as refusal:
        messages.warning(request, str(refusal))
    query = "&".join(part for part in (filters.query(), urlencode(extra)) if part)
    return redirect(f"{reverse('prompts', kwargs={'team': request.team.slug})}?{query}".rstrip("?"))


def picked(request: StudioRequest) -> list[Prompt]:
    """The chosen prompts, archived ones too. One that is not the team's is not found, and then nothing happens."""
    ids = {key_or_404(value) for value in request.POST.getlist("prompt")}
    if len(ids) > bulk.MOST:
        raise bulk.NotDone(f"At most {bulk.MOST} prompts at once; {len(ids)} were chosen.")
    found = list(Prompt.objects.filter(team=request.team, pk__in=ids).select_related("team").order_by("name"))
    if len(found) != len(ids):
        raise Http404
    return found


def taken_back(request: StudioRequest) -> tuple[int, list[str]]:
    try:
        at = datetime.fromisoformat(request.POST.get("at", ""))
    except ValueError:
        raise Http404 from None
    found = list(bulk.put_away_at(request.team, at).select_related("team")[: bulk.MOST])
    check_archivable(found, request.membership)
    return len(found), bulk.restore(found, request.user)


def say_restored(request: StudioRequest, done: tuple[int, list[str]]) -> None:
    count, taken = done
    if taken:
        left = (
            f" {', '.join(taken[:5])} stayed in the archive: the name is used by another prompt. Rename that one first."
        )
        messages.warning(request, f"Restored {plural(count - len(taken))}.{left}")
    else:
        messages.info(request, f"Restored {plural(count)}.")


def said(request: StudioRequest, act: str, chosen: list[Prompt]) -> None:
    tags = bulk.clean_tags(request.POST.get("tag", ""))
    if not tags:
        raise bulk.NotDone("Write a tag first; several are separated by commas.")
    if act == "tag":
        messages.info(request, f"Tagged {plural(bulk.tag(chosen, request.user, tags))} with {', '.join(tags)}.")
    else:
        messages.info(request, f"Took {', '.join(tags)} off {plural(bulk.tag(chosen, request.user, [], tags))}.")


def plural(count: int) -> str:
    return f"{count} prompt" if count == 1 else f"{count} prompts"


def prompt_starters(request: StudioRequest) -> HttpResponse:
    """Three prompts that work, for a team that has none."""
    made = starters.add(request.membership)
    messages.info(request, f"Added {plural(len(made))}. Open one and try it." if made else "They are already here.")
    return redirect("prompts", team=request.team.slug)
