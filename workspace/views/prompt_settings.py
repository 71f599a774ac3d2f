"""How a team works with prompts: whether versions are reviewed before production, and which labels take which role."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from llmstudio.http import StudioRequest
from workspace.models import LabelRefused, ProtectedLabel, Role

ROLES = [role for role in Role if role >= Role.EDITOR]  # those who may move a label at all


def prompt_settings(request: StudioRequest) -> HttpResponse:
    if request.method == "GET":
        return page(request)
    request.team.reviews_prompts = "reviews_prompts" in request.POST
    request.team.save(update_fields=["reviews_prompts"])
    on = request.team.reviews_prompts
    messages.success(
        request, "From now on production takes an approval." if on else "Versions go to production freely."
    )
    return redirect("prompt_settings", team=request.team.slug)


def protect(request: StudioRequest) -> HttpResponse:
    """Give a label a role, or lift its protection."""
    name, sent = request.POST.get("name", "").strip(), request.POST.get("role", "")
    role = next((one for one in ROLES if str(one.value) == sent), None)
    try:
        if role is None and "lift" not in request.POST:
            raise LabelRefused("Choose the role that moving this label should take.")
        ProtectedLabel.protect(name, None if "lift" in request.POST else role, by=request.membership)
    except LabelRefused as refusal:
        return page(request, problem=str(refusal), typed=name, status=422)
    messages.success(
        request, f"Moving {name} takes the role {role.label.lower()}." if role else f"{name} is free again."
    )
    return redirect("prompt_settings", team=request.team.slug)


def page(request: StudioRequest, *, problem: str = "", typed: str = "", status: int = 200) -> HttpResponse:
    context = {
        "protected": ProtectedLabel.objects.filter(team=request.team),
        "roles": [role for role in ROLES if request.membership.may(role)],
        "problem": problem,
        "typed": typed,
    }
    return render(request, "workspace/prompt_settings.html", context, status=status)
