"""The playground's pages: the list of grids, one grid, and what is done with a grid as a whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event

from jobs import notices
from jobs.models import Dataset, LanguageModel, Worker
from llmstudio.asked import key_or_404, number_in
from llmstudio.http import StudioRequest
from workspace import starters
from workspace.chat_forms import Answerers
from workspace.models import Activity, Archived, Grid, GridColumn, GridRefused, PromptVersion, Role, Team
from workspace.models.grids import MAX_COLUMNS, MAX_INPUTS
from workspace.scores import METRICS
from workspace.sheets import WINDOW, Sheet

LISTED = 60


def refusing(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view of a grid, with what the grid refuses said on its page: an open dialog keeps what was typed."""

    @wraps(view)
    def said(request: StudioRequest, grid_id: UUID, **ids: UUID) -> HttpResponse:
        try:
            return view(request, grid_id, **ids)
        except (GridRefused, Archived) as refusal:
            if request.htmx:
                return trigger_client_event(HttpResponse(status=204), "grid-refused", {"message": str(refusal)})
            messages.error(request, str(refusal))
            return redirect(owned(request.team, grid_id))

    return said


def grids(request: StudioRequest) -> HttpResponse:
    words, archived = request.GET.get("q", "").strip()[:200], bool(request.GET.get("archived"))
    rows = Grid.objects.filter(team=request.team, archived_at__isnull=not archived).search(words).counted()
    found = list(rows.select_related("team", "author")[: LISTED + 1])
    context = {
        "grids": found[:LISTED],
        "more": len(found) > LISTED,
        "words": words,
        "archived": archived,
        "any_model": LanguageModel.objects.for_team(request.team).exists(),
        "filters": urlencode({key: value for key, value in (("q", words), ("archived", archived and "1")) if value}),
    }
    return render(request, "workspace/_grids.html" if request.htmx else "workspace/grids.html", context)


def grid_new(request: StudioRequest) -> HttpResponse:
    """A grid, empty or begun with a prompt's version, a data set, or the example."""
    who = Answerers(request.team)
    if not who.models:
        messages.error(request, "No model can answer here yet. An admin adds one under Models.")
        return redirect("grids", team=request.team.slug)
    if request.POST.get("example"):
        model, _ = who.usual(request.user)
        return redirect(starters.grid(request.team, request.user, model))
    version = named(request, "prompt_version", PromptVersion.objects.filter(prompt__team=request.team))
    dataset = named(request, "dataset", Dataset.objects.for_team(request.team))
    model, adapter = who.usual(request.user, wanted=version.config.get("model") if version else None)
    name = request.POST.get("name", "").strip()[:120] or begun_with(version, dataset)
    with transaction.atomic():
        made = Grid.objects.create(team=request.team, author=request.user, name=name[:120])
        Activity.record(request.team.pk, request.user, "created", made)
        if version:
            made.add_column(prompt_version=version, model=model, adapter=adapter)
        elif dataset:  # something to put its questions into
            made.add_column(model=model, adapter=adapter, messages=[{"role": "user", "content": "{{question}}"}])
    target = made.get_absolute_url()
    return redirect(f"{target}?dataset={dataset.pk}" if dataset else target)


def grid(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    found = owned(request.team, grid_id)
    if request.htmx or "sheet" in request.GET:
        return render(request, "workspace/_grid_sheet.html", sheet_context(request, found))
    return render(request, "workspace/grid.html", {**sheet_context(request, found), **page_context(request, found)})


def grid_progress(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    found = owned(request.team, grid_id)
    sheet = Sheet(found, request.user, run_asked(request))
    return render(request, "workspace/_grid_progress.html", {"grid": found, **whole(sheet)})


@refusing
def grid_change(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    """Its name, blind mode, or the measure of its scores."""
    found = owned(request.team, grid_id)
    post = request.POST
    asked: dict[str, Any] = {}
    if name := post.get("name", "").strip()[:120]:
        asked["name"] = name
    if "blind" in post:
        asked["blind"] = post["blind"] == "1"
    if "metric" in post:
        asked["metric"] = post["metric"]
        if post["metric"] and post["metric"] not in METRICS:
            return HttpResponseBadRequest("There is no such measure.", content_type="text/plain")
    found.adjust(**asked)
    return done(request, found)


def grid_archive(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    found = owned(request.team, grid_id)
    undo = "undo" in request.POST
    found.archive(request.user, undo=undo)
    messages.info(request, "The grid is back in the list." if undo else "Archived. It can be restored at any time.")
    return redirect(found)


def grid_copy(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    twin = owned(request.team, grid_id).copy(request.user)
    messages.info(request, "This is the copy: the same columns and inputs, no answers yet.")
    return redirect(twin)


@refusing
def grid_run(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    """Run all, or the columns and inputs that are named, or only what has no answer yet."""
    found = owned(request.team, grid_id)
    columns, inputs = request.POST.getlist("column"), request.POST.getlist("input")
    chosen = {"columns": part(found.columns, columns), "inputs": part(found.inputs, inputs)}
    if request.POST.get("which") == "missing":
        found.run_missing(request.user)
    else:
        found.start_run(request.user, **chosen)
    return done(request, found)


def grid_stop(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    """Stop all that is unfinished, or one cell."""
    found = owned(request.team, grid_id)
    if "cell" not in request.POST:
        found.cancel()
        return done(request, found)
    cells = found.cells().select_related("generation__repair")
    cell = get_object_or_404(cells, pk=key_or_404(request.POST["cell"]), generation__isnull=False)
    if reply := cell.reply:
        reply.request_cancel()
        notices.changed(found.team_id, "generation", reply.pk)
    return done(request, found)


# --- what the views of the playground share


def owned(team: Team, grid_id: UUID) -> Grid:
    return get_object_or_404(Grid.objects.select_related("team", "author"), team=team, pk=grid_id)


def part(rows: Any, keys: list[str]) -> Any:
    """Those of a grid's columns or inputs that are named, or None for all. One that is not there is a 404."""
    if not keys:
        return None
    found = list(rows.filter(pk__in=[key_or_404(key) for key in keys]))
    if len(found) != len(set(keys)):
        raise Http404
    return found


def named(request: StudioRequest, field: str, rows: Any) -> Any:
    """The row that a form names in `field`, if it names one; a row of another team is a 404."""
    key = request.POST.get(field)
    return get_object_or_404(rows, pk=key_or_404(key)) if key else None


def done(request: StudioRequest, grid: Grid) -> HttpResponse:
    """Nothing to show but the grid itself, which the page fetches again."""
    if request.htmx:
        return trigger_client_event(HttpResponse(status=204), "grid-done")
    return redirect(grid)


def to_page(request: StudioRequest, url: str) -> HttpResponse:
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)


def run_asked(request: StudioRequest) -> int | None:
    return number_in(request.GET.get("run"))


def begun_with(version: PromptVersion | None, dataset: Dataset | None) -> str:
    """A new grid's name, until someone gives it a better one."""
    if version or dataset:
        return str(version.prompt if version else dataset)
    return f"Grid of {timezone.localdate().strftime('%d %B %Y').lstrip('0')}"


def sheet_context(request: StudioRequest, grid: Grid) -> dict[str, Any]:
    """The table of a grid: its head and its first rows."""
    sheet = Sheet(grid, request.user, run_asked(request))
    return {
        "grid": grid,
        "sheet": sheet,
        "heads": heads(sheet),
        "rows": sheet.window(),
        "next": WINDOW if sheet.total > WINDOW else 0,
        "may_vote": request.membership.may(Role.ANNOTATOR),
        "max_columns": MAX_COLUMNS,
        "max_inputs": MAX_INPUTS,
        **whole(sheet),
    }


def heads(sheet: Sheet) -> list[dict[str, Any]]:
    """The columns with what is known of them as a whole."""
    means, tally = sheet.means(), sheet.tally()
    return [
        {"column": column, "mean": means.get(column.pk), "votes": tally[column.pk], "newer": newer(column)}
        for column in sheet.columns
    ]


def newer(column: GridColumn) -> int:
    """The number of a newer version of the column's prompt; 0 if it has the newest."""
    version = column.prompt_version
    return version.prompt.latest if version and version.prompt.latest > version.number else 0


def whole(sheet: Sheet) -> dict[str, Any]:
    tally = sheet.tally()
    return {
        "sheet": sheet,
        "progress": sheet.progress(),
        "worker_alive": "infer" in Worker.objects.kinds_alive(),
        "votes_cast": tally.total(),
        "ties": tally[None],
    }


def page_context(request: StudioRequest, grid: Grid) -> dict[str, Any]:
    return {
        "runs": grid.runs(),
        "metrics": METRICS,
        "dataset_asked": request.GET.get("dataset", ""),
        "cell_asked": request.GET.get("cell", ""),
    }
