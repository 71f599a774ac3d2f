"""A grid's columns: added, changed, copied, moved and removed; and the picker of prompts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from llmstudio.asked import key_or_404
from llmstudio.http import StudioRequest
from workspace.forms.grids import ColumnForm
from workspace.models import Grid, GridColumn, Prompt, PromptVersion
from workspace.views.playground import done, owned, refusing

OFFERED = 12  # prompts shown at once
VERSIONS = 100


@refusing
def grid_column_new(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    grid = owned(request.team, grid_id)
    if request.method == "GET":
        last = grid.columns.select_related("model", "adapter").last()
        form = ColumnForm(request.team, column=None)
        if last:
            form.initial["answers"] = ColumnForm(request.team, column=last).initial["answers"]
        return shown(request, grid, form)
    form = ColumnForm(request.team, request.POST)
    if not form.is_valid():
        return shown(request, grid, form, status=422)
    grid.add_column(**form.fields_of())
    return done(request, grid)


@refusing
def grid_column(request: StudioRequest, grid_id: UUID, column_id: UUID) -> HttpResponse:
    """Change it (the form's fields), or one act: copy, left, right, remove, newest."""
    grid = owned(request.team, grid_id)
    column = get_object_or_404(grid.ready_columns(), pk=column_id)
    if request.method == "GET":
        return shown(request, grid, ColumnForm(request.team, column=column), column)
    act = request.POST.get("act", "")
    if act and act not in ACTS:
        return HttpResponse("There is no such act.", status=400, content_type="text/plain")
    if act:
        ACTS[act](grid, column)
        return done(request, grid)
    form = ColumnForm(request.team, request.POST, column=column)
    if not form.is_valid():
        return shown(request, grid, form, column, status=422)
    column.rewrite(**form.fields_of())
    return done(request, grid)


def copy(grid: Grid, column: GridColumn) -> None:
    names = ("label", "prompt_version", "messages", "model", "adapter", "params", "omit")
    grid.add_column(after=column, **{name: getattr(column, name) for name in names})


def take_newest(grid: Grid, column: GridColumn) -> None:
    if column.prompt_version:
        prompt = column.prompt_version.prompt
        column.rewrite(prompt_version=prompt.versions.get(number=prompt.latest))


ACTS = {
    "copy": copy,
    "left": lambda grid, column: grid.move_column(column, -1),
    "right": lambda grid, column: grid.move_column(column, 1),
    "remove": lambda grid, column: grid.remove_column(column),
    "newest": take_newest,
}


def grid_prompts(request: StudioRequest) -> HttpResponse:
    """The picker: prompts by their words, or the versions of the one that was picked."""
    if key := request.GET.get("column-prompt_version") or request.GET.get("version"):
        versions = PromptVersion.objects.filter(prompt__team=request.team).select_related("prompt")
        return render(request, "workspace/_grid_prompt.html", picked(get_object_or_404(versions, pk=key_or_404(key))))
    words = request.GET.get("q", "").strip()[:200]
    prompts = list(Prompt.objects.for_team(request.team).search(words)[:OFFERED])
    newest = PromptVersion.objects.filter(prompt__in=prompts, number=F("prompt__latest")).select_related("prompt")
    latest = {version.prompt_id: version for version in newest}
    offered = [latest[prompt.pk] for prompt in prompts]
    return render(request, "workspace/_grid_prompts.html", {"offered": offered, "words": words})


def picked(version: PromptVersion | None) -> dict[str, Any]:
    if version is None:
        return {"version": None, "versions": []}
    versions = version.prompt.versions.select_related("author").prefetch_related("labels")
    return {"version": version, "versions": versions[:VERSIONS]}


def shown(
    request: StudioRequest, grid: Grid, form: ColumnForm, column: GridColumn | None = None, status: int = 200
) -> HttpResponse:
    context = {"grid": grid, "form": form, "column": column, **picked(form.chosen_version())}
    return render(request, "workspace/_grid_column_form.html", context, status=status)
