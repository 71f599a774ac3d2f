"""A prompt's name and folder, description and tags; putting it away and taking it back out."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render

from llmstudio.http import StudioRequest
from workspace.forms.prompts import DetailsForm
from workspace.models import Archived, LabelRefused
from workspace.models.labels import check_archivable
from workspace.views.prompts import owned


def prompt_details(request: StudioRequest, prompt_id: UUID) -> HttpResponse:
    found = owned(request.team, prompt_id)
    was = found.name
    form = DetailsForm(request.POST if request.method == "POST" else None, instance=found)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                found.describe(request.user, keep_name="keep_name" in request.POST, **form.cleaned_data)
        except Archived as refusal:
            form.add_error(None, str(refusal))
        except IntegrityError:
            form.add_error("name", "This name has just been taken. Choose another.")
        else:
            messages.success(request, f"{was} is now {found.name}." if was != found.name else "Saved.")
            return redirect(found)
    context = {"prompt": found, "was": was, "form": form, "included_by": found.included_by(was)}
    return render(request, "workspace/prompt_details.html", context, status=422 if form.errors else 200)


def prompt_archive(request: StudioRequest, prompt_id: UUID) -> HttpResponse:
    """Out of the list, with everything it has; `undo` brings it back. Labels that are protected hold it where it is."""
    found = owned(request.team, prompt_id)
    undo = "undo" in request.POST
    try:
        check_archivable([found], request.membership)
        with transaction.atomic():
            found.archive(request.user, undo=undo)
    except LabelRefused as refusal:
        messages.error(request, f"Not archived. {refusal}" if not undo else f"Not restored. {refusal}")
    except IntegrityError:
        messages.error(request, f"Another prompt is named {found.name} by now. Rename that one, then restore this.")
    else:
        messages.success(request, "The prompt is back." if undo else "Archived. It can be restored at any time.")
    return redirect(found)
