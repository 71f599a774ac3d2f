"""The pages of the playground."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from llmstudio.http import StudioRequest
from workspace.models import Grid


def grids(request: StudioRequest) -> HttpResponse:
    found = Grid.objects.for_team(request.team).select_related("team")
    return render(request, "workspace/grids.html", {"grids": found[:100]})


def grid(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    found = get_object_or_404(Grid.objects.select_related("team"), team=request.team, pk=grid_id)
    return render(request, "workspace/grid.html", {"grid": found})
