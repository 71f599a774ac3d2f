"""From an uploaded file to a data set: upload, look at what it is, import, and see what was wrong."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.template.defaultfilters import filesizeformat
from django_htmx.http import HttpResponseClientRedirect

from jobs import notices
from jobs.datasets.detection import guess, preview
from jobs.datasets.readers import NotReadable
from jobs.forms import ImportForm
from jobs.models import Import, State, StoredFile, Worker
from jobs.tasks import ring_on_commit
from jobs.views.datasets import datasets_page
from llmstudio.http import StudioRequest


def upload(request: StudioRequest) -> HttpResponse:
    """Keep a file byte for byte, then show what it is."""
    file = request.FILES.get("file")
    if file is None:
        return datasets_page(
            request, problem="No file was chosen. Choose a JSONL or CSV file, or drop one on the page.", status=422
        )
    if not file.size:
        return datasets_page(request, problem=f"{file.name} is empty.", status=422)
    if file.size > settings.STUDIO_MAX_UPLOAD:
        limit = filesizeformat(settings.STUDIO_MAX_UPLOAD)
        return datasets_page(
            request,
            problem=f"{file.name} is larger than {limit}, the most that is taken at once. Split it into several files.",
            status=413,
        )
    try:
        stored = StoredFile.keep(file, team=request.team, author=request.user)
    except OSError as error:
        return datasets_page(
            request,
            problem=f"{file.name} could not be stored ({error.strerror}). Free some space under the data folder, then try again.",
            status=507,
        )
    target = redirect("import_new", team=request.team.slug, file_id=stored.pk)
    return HttpResponseClientRedirect(target.url) if request.htmx else target


def import_new(request: StudioRequest, file_id: UUID) -> HttpResponse:
    """How to read the file: format with its evidence, columns, splits, and the first rows as they would be."""
    file = get_object_or_404(StoredFile, team=request.team, pk=file_id)
    return form_page(request, file, data=request.GET if "format" in request.GET else None)


def form_page(request: StudioRequest, file: StoredFile, *, data: QueryDict | None, status: int = 200) -> HttpResponse:
    found = guess(file.path, file.filename)
    form = ImportForm(file, found, data)
    if request.method == "GET" and data:
        form.is_valid()  # for the mapping in the preview
    samples: list[Any] = []
    problem = ""
    chosen = (data.get("format") if data else found.format) or ""
    if chosen in Import.Format.values:
        try:
            samples = preview(file.path, chosen, form.mapping())
        except NotReadable as error:
            problem = str(error)
    context = {
        "file": file,
        "form": form,
        "guess": found,
        "samples": samples,
        "problem": problem,
        "chosen": chosen,
        "tried": request.method == "POST",
    }
    template = "jobs/_import_form.html" if request.htmx else "jobs/import_new.html"
    return render(request, template, context, status=status)


def import_start(request: StudioRequest, file_id: UUID) -> HttpResponse:
    file = get_object_or_404(StoredFile, team=request.team, pk=file_id)
    form = ImportForm(file, guess(file.path, file.filename), request.POST)
    if not form.is_valid():
        return form_page(request, file, data=request.POST, status=422)
    job = _queue(
        request,
        file,
        name=form.cleaned_data["name"],
        format=form.cleaned_data["format"],
        mapping=form.mapping(),
        shares=form.shares(),
    )
    return redirect(job)


def import_again(request: StudioRequest, import_id: UUID) -> HttpResponse:
    """The same import without its bad rows."""
    job = get_object_or_404(Import, team=request.team, pk=import_id, state=State.FAILED)
    again = _queue(
        request, job.file, name=job.name, format=job.format, mapping=job.mapping, shares=job.shares, skip_bad=True
    )
    return redirect(again)


def _queue(request: StudioRequest, file: StoredFile, **fields: Any) -> Import:
    with transaction.atomic():
        job: Import = Import.objects.create(team=request.team, author=request.user, file=file, **fields)
        ring_on_commit("default")
    return job


def import_page(request: StudioRequest, import_id: UUID) -> HttpResponse:
    """Progress while it runs; then the way on, or every bad line with its reason. htmx asks for the state alone."""
    job = get_object_or_404(Import.objects.select_related("file", "dataset", "team"), team=request.team, pk=import_id)
    if request.htmx and job.dataset:
        return HttpResponseClientRedirect(job.dataset.get_absolute_url())
    context = {
        "job": job,
        "good": job.rows_read - job.problems_total,
        "no_worker": not job.is_final and "default" not in Worker.objects.all().kinds_alive(),
        "ahead": Import.objects.unfinished().filter(queued_at__lt=job.queued_at).exclude(pk=job.pk).count()
        if job.state == State.QUEUED
        else 0,
    }
    return render(request, "jobs/_import.html" if request.htmx else "jobs/import.html", context)


def import_cancel(request: StudioRequest, import_id: UUID) -> HttpResponse:
    job = get_object_or_404(Import, team=request.team, pk=import_id)
    if job.request_cancel():
        notices.changed(request.team.pk, "import", job.pk)
    return redirect(job)
