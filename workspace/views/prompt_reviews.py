"""Reviews of a version: asking for one, withdrawing it, giving the verdict, and publishing."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect

from llmstudio.asked import number_in
from llmstudio.http import StudioRequest
from workspace.models import Archived, LabelRefused, PromptLabel, PromptReview, ReviewRefused
from workspace.prompts import PRODUCTION
from workspace.views.prompt_versions import one, version_page
from workspace.views.prompts import owned


def prompt_review(request: StudioRequest, prompt_id: UUID, number: int) -> HttpResponse:
    """Ask for a review of someone or of anyone; or, with `publish`, move production here."""
    version = one(owned(request.team, prompt_id), number)
    try:
        if "publish" in request.POST:
            PromptLabel.move(version, PRODUCTION, by=request.membership)
            messages.success(request, f"Version {version.number} is published: production points at it.")
        else:
            sent = request.POST.get("of", "")
            members = request.team.memberships.select_related("user")
            of = get_object_or_404(members, pk=number_in(sent, digits=18)) if sent else None
            PromptReview.ask(version, by=request.membership, of=of, question=request.POST.get("question", "").strip())
            messages.success(request, f"{of.user if of else 'Everyone who may review'} has been told.")
    except (LabelRefused, Archived) as refusal:
        return version_page(request, version, problem=str(refusal), status=409)
    except ReviewRefused as refusal:
        return version_page(request, version, problem=str(refusal), asking=True, status=409)
    except IntegrityError:
        return version_page(request, version, problem="A review of this version was just asked for.", status=409)
    return redirect(version)


def prompt_verdict(request: StudioRequest, prompt_id: UUID, review_id: int) -> HttpResponse:
    """Approve, ask for changes, or withdraw the question."""
    prompt = owned(request.team, prompt_id)
    rows = PromptReview.objects.select_related("version__prompt__team", "version__author", "asked_by", "asked_of")
    review = get_object_or_404(rows, pk=review_id, version__prompt=prompt)
    note = request.POST.get("note", "").strip()
    try:
        if "withdraw" in request.POST:
            review.withdraw(by=request.membership)
            messages.success(request, "The review is withdrawn.")
        elif {"approve", "reject"} & set(request.POST):
            review.decide(by=request.membership, approve="approve" in request.POST, note=note)
            messages.success(request, "Approved." if "approve" in request.POST else "You asked for changes.")
        else:
            raise ReviewRefused("Approve, or ask for changes.")
    except (ReviewRefused, Archived) as refusal:
        version = one(prompt, review.version.number)
        return version_page(request, version, problem=str(refusal), note=note, status=409)
    return redirect(review.version)
