"""The pages of a prompt and of one version."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from llmstudio.http import StudioRequest
from workspace.models import Prompt, Team


def prompt(request: StudioRequest, prompt_id: UUID) -> HttpResponse:
    found = owned(request.team, prompt_id)
    return render(request, "workspace/prompt.html", {"prompt": found, "version": found.versions.first()})


def prompt_version(request: StudioRequest, prompt_id: UUID, number: int) -> HttpResponse:
    found = owned(request.team, prompt_id)
    version = get_object_or_404(found.versions, number=number)
    return render(request, "workspace/prompt.html", {"prompt": found, "version": version})


def owned(team: Team, prompt_id: UUID) -> Prompt:
    return get_object_or_404(Prompt.objects.select_related("team", "author"), team=team, pk=prompt_id)
