"""Leave one out: the form that starts a comparison for a set, and its result as it comes in."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from llmstudio.http import StudioRequest
from workspace import leave_one_out as trial
from workspace.diffs import word_diff
from workspace.forms.leave_one_out import TrialForm
from workspace.models import ExampleSetVersion, Grid, GridRefused
from workspace.prompts import PromptError
from workspace.scores import METRICS
from workspace.views.examples import owned


def leave_one_out_new(request: StudioRequest, set_id: UUID) -> HttpResponse:
    """Choose what is asked, of whom, and how it is scored."""
    found = owned(request.team, set_id)
    form = TrialForm(found, request.POST if request.method == "POST" else None, asked=request.GET)
    if request.method == "POST" and form.is_valid():
        try:
            grid = form.plan().start(request.user)
        except (PromptError, GridRefused) as error:
            form.add_error(None, str(error))
        else:
            return redirect("leave_one_out", team=request.team.slug, grid_id=grid.pk)
    versions = [str(pk) for pk in found.versions.values_list("pk", flat=True)]
    context = {
        "set": found,
        "form": form,
        "earlier": Grid.objects.for_team(request.team).filter(about__leave_one_out__in=versions)[:20],
        "most_rows": trial.MAX_ROWS,
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "workspace/leave_one_out_new.html", context, status=status)


def leave_one_out(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    """What each example does; htmx asks for the table alone while the answers come in."""
    grids = Grid.objects.for_team(request.team).filter(about__has_key="leave_one_out").select_related("team", "author")
    grid = get_object_or_404(grids, pk=grid_id)
    versions = ExampleSetVersion.objects.select_related("set__team").filter(set__team=request.team)
    version = versions.filter(pk=grid.about["leave_one_out"]).first()
    result = trial.read(grid)
    column = grid.columns.select_related("model", "adapter", "prompt_version__prompt__team").first()
    if version is None or column is None:
        raise Http404
    place = {pk: number for number, pk in enumerate(version.order, 1)}
    metric = str(grid.about.get("metric", ""))
    context = {
        "grid": grid,
        "set": version.set,
        "version": version,
        "column": column,
        "rows": grid.inputs.count(),
        "result": result,
        "effects": [(place.get(effect.example.pk) if effect.example else None, effect) for effect in result.effects],
        "metric": METRICS.get(metric, metric),
        "least": trial.MIN_ROWS,
        "effect": opened(request, result),
    }
    return render(request, f"workspace/{'_' if request.htmx else ''}leave_one_out.html", context)


def opened(request: StudioRequest, result: trial.Result) -> dict[str, object] | None:
    """The example whose changed rows are asked for, with the words that differ."""
    wanted = request.GET.get("example", "")
    effect = next((one for one in result.effects if one.example and str(one.example.pk) == wanted), None)
    if effect is None:
        return None
    rows = sorted(effect.changed, key=lambda row: -abs(row.difference))[:50]
    return {"of": effect, "rows": [(row, word_diff(text(row.without), text(row.with_all))) for row in rows]}


def text(cell: object) -> str:
    generation = getattr(cell, "generation", None)
    return generation.text if generation else ""
