"""The pages of few-shot example sets."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from llmstudio.http import StudioRequest
from workspace.models import ExampleSet


def example_sets(request: StudioRequest) -> HttpResponse:
    sets = ExampleSet.objects.for_team(request.team).select_related("team")
    return render(request, "workspace/example_sets.html", {"sets": sets[:100]})


def example_set(request: StudioRequest, set_id: UUID) -> HttpResponse:
    found = get_object_or_404(ExampleSet.objects.select_related("team"), team=request.team, pk=set_id)
    return render(request, "workspace/example_set.html", {"set": found, "examples": found.newest.ordered()})
