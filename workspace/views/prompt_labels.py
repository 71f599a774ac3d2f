"""The labels of a prompt: where each points, moving one, taking one off, and every move there has been."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from llmstudio.asked import number_in
from llmstudio.http import StudioRequest
from workspace.models import Archived, LabelRefused, Prompt, PromptLabel, ProtectedLabel
from workspace.prompts import LATEST, PRODUCTION
from workspace.views.prompts import owned

MOVES = 100  # listed
SUGGESTED = (PRODUCTION, "staging")


def prompt_labels(request: StudioRequest, prompt_id: UUID) -> HttpResponse:
    """POST moves the label `name` to the version `number`, or takes it off."""
    found = owned(request.team, prompt_id)
    if request.method == "GET":
        return labels_page(request, found)
    name = request.POST.get("name", "").strip()
    try:
        if "off" in request.POST:
            PromptLabel.drop(found, name, by=request.membership)
            messages.success(request, f"{name} is off. Programs that ask for it get an error from now on.")
        else:
            number = number_in(request.POST.get("number"))
            if number is None:
                raise LabelRefused("Choose the version that the label should point at.")
            version = get_object_or_404(found.versions.select_related("prompt__team"), number=number)
            PromptLabel.move(version, name, by=request.membership)
            messages.success(request, f"{name} points at version {version.number}.")
    except (LabelRefused, Archived) as refusal:
        return labels_page(request, found, problem=str(refusal), typed=name, status=422)
    return redirect("prompt_labels", team=request.team.slug, prompt_id=found.pk)


def labels_page(
    request: StudioRequest, prompt: Prompt, *, problem: str = "", typed: str = "", status: int = 200
) -> HttpResponse:
    labels = list(prompt.labels.select_related("version__author"))
    moves = prompt.label_moves.select_related("before", "after", "by")
    last = {move.name: move for move in moves.order_by("name", "-at", "-pk").distinct("name")}
    least = {label.name: label for label in ProtectedLabel.objects.filter(team=request.team)}
    context = {
        "prompt": prompt,
        "labels": [
            {
                "label": label,
                "moved": last.get(label.name),
                "protected": least.get(label.name),
                "may": label.name not in least or request.membership.may(least[label.name].role),
            }
            for label in labels
        ],
        "newest": prompt.newest,
        "latest_name": LATEST,
        "numbers": prompt.versions.values_list("number", flat=True)[:500],
        "suggested": [name for name in SUGGESTED if name not in {label.name for label in labels}],
        "moves": moves[:MOVES],
        "problem": problem,
        "typed": typed,
        "chosen": request.GET.get("number", ""),
    }
    part = "workspace/_prompt_labels.html" if request.htmx else "workspace/prompt_labels.html"
    return render(request, part, context, status=status)
