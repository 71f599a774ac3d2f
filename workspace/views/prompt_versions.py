"""The versions of a prompt: the list, one of them, what differs between two, restoring and forking."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from llmstudio.asked import number_in
from llmstudio.http import StudioRequest
from workspace.comparing import compare
from workspace.drafts import Draft, label_of
from workspace.fewshot import HOWS
from workspace.forms.prompts import DetailsForm
from workspace.models import Archived, Membership, Prompt, PromptReview, PromptVersion, ProtectedLabel, Role
from workspace.prompts import PRODUCTION, PromptError
from workspace.views.prompts import owned

PAGE = 50  # versions listed at once


def prompt_versions(request: StudioRequest, prompt_id: UUID) -> HttpResponse:
    """The newest first. htmx asks for the table alone."""
    found = owned(request.team, prompt_id)
    rows = found.versions.select_related("author", "origin__prompt__team")
    if before := number_in(request.GET.get("before")):
        rows = rows.filter(number__lt=before)
    listed = list(rows[: PAGE + 1])
    labels = found.labels_by_version()
    context = {
        "prompt": found,
        "versions": [(version, labels.get(version.number, [])) for version in listed[:PAGE]],
        "older": listed[PAGE - 1].number if len(listed) > PAGE else None,
        "here": request.get_full_path(),
    }
    return render(
        request, "workspace/_prompt_versions.html" if request.htmx else "workspace/prompt_versions.html", context
    )


def prompt_version(request: StudioRequest, prompt_id: UUID, number: int) -> HttpResponse:
    return version_page(request, one(owned(request.team, prompt_id), number))


def one(prompt: Prompt, number: int) -> PromptVersion:
    reviews = PromptReview.objects.select_related("asked_by", "asked_of", "reviewer")
    rows = PromptVersion.objects.select_related(
        "author", "prompt__team", "prompt__parent__prompt__team", "examples__set__team", "origin__prompt__team"
    ).prefetch_related(Prefetch("reviews", reviews))
    return get_object_or_404(rows, prompt=prompt, number=number)


def version_page(
    request: StudioRequest,
    version: PromptVersion,
    *,
    problem: str = "",
    note: str = "",
    asking: bool = False,
    status: int = 200,
) -> HttpResponse:
    """One version to read, with all that can be done with it. `problem` says why something was refused; `note` is what
    was typed then; `asking` if a review was being asked for."""
    me, prompt, fields = request.membership, version.prompt, Draft.of(version).fields
    waiting = next((review for review in version.reviews.all() if not review.verdict), None)
    editors = Membership.objects.filter(team=request.team, role__gte=Role.EDITOR).exclude(user=version.author_id)
    takes = Role(ProtectedLabel.objects.least_role(request.team, PRODUCTION))
    context = {
        "prompt": prompt,
        "version": version,
        "publishing_takes": None if me.may(takes) else takes,
        "rows": Draft.of(version).rows,
        "commented": [version],
        "settings": [
            (label_of(name), said(fields, name)) for name in fields if ":" not in name and shown(fields, name)
        ],
        "labels": prompt.labels_by_version().get(version.number, []),
        "waiting": waiting,
        "decides": bool(waiting and me.may(Role.EDITOR) and waiting.may_decide().filter(pk=request.user.pk).exists()),
        "reviewers": editors.select_related("user").order_by("user__name"),
        "needs_review": request.team.reviews_prompts and not PromptReview.objects.filter(version=version).approve(),
        "forks": version.forks.filter(archived_at=None).select_related("team")[:20],
        "problem": problem,
        "note": note,
        "asking": asking,
    }
    return render(request, "workspace/prompt_version.html", context, status=status)


def shown(fields: dict[str, str], name: str) -> bool:
    """A seed without a draw and a budget that nothing is fitted to say nothing."""
    how = fields["shots_how"]
    if name.startswith("shots_"):
        idle = {"shots_seed": how != "random", "shots_budget": how != "budget"}
        return bool(fields["examples"]) and bool(fields[name]) and not idle.get(name)
    return bool(fields[name]) and name != "examples"


def said(fields: dict[str, str], name: str) -> str:
    return HOWS.get(fields[name], fields[name]) if name == "shots_how" else fields[name]


def prompt_diff(request: StudioRequest, prompt_id: UUID) -> HttpResponse:
    """What changed from version `a` to version `b`."""
    found = owned(request.team, prompt_id)
    a, b = number_in(request.GET.get("a")), number_in(request.GET.get("b"))
    if a is None or b is None:
        messages.info(request, "Choose two versions to compare.")
        return redirect("prompt_versions", team=request.team.slug, prompt_id=found.pk)
    old, new = sorted((one(found, number) for number in (a, b)), key=lambda version: version.number)
    context = {"prompt": found, "old": old, "new": new, "comparison": compare(old, new)}
    return render(request, "workspace/prompt_diff.html", context)


def prompt_restore(request: StudioRequest, prompt_id: UUID, number: int) -> HttpResponse:
    """The latest version says again what this one said."""
    version = one(owned(request.team, prompt_id), number)
    try:
        made = version.prompt.restore(request.user, version.number)
    except Archived as refusal:
        return version_page(request, version, problem=str(refusal), status=409)
    except PromptError as error:  # an include that has gone since
        return version_page(request, version, problem=f"This version cannot be restored. {error}", status=422)
    messages.success(request, f"Version {made.number} says what version {version.number} said.")
    return redirect(version.prompt)


def prompt_fork(request: StudioRequest, prompt_id: UUID, number: int) -> HttpResponse:
    """A prompt of its own that begins with this version, under a name that is asked for."""
    version = one(owned(request.team, prompt_id), number)
    parent = version.prompt
    fresh = Prompt(team=request.team, kind=parent.kind, description=parent.description, tags=parent.tags)
    first = {"name": f"{parent.name}-fork"}
    form = DetailsForm(request.POST if request.method == "POST" else None, instance=fresh, initial=first)
    del form.fields["description"], form.fields["tags"]
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                made = parent.fork(request.user, form.cleaned_data["name"], version)
        except IntegrityError:
            form.add_error("name", "This name has just been taken. Choose another.")
        except PromptError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Forked from {parent.name}, version {version.number}.")
            return redirect(made)
    context = {"prompt": parent, "version": version, "form": form}
    return render(request, "workspace/prompt_fork.html", context, status=422 if form.errors else 200)
