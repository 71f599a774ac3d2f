"""The list of data sets, and one data set as a grid of rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import slugify

from jobs.datasets import export
from jobs.downloads import attachment
from jobs.models import Dataset, FineTune, Import, Row, Split
from llmstudio.asked import key_in, number_in
from llmstudio.http import StudioRequest

WINDOW = 100  # rows fetched at once; static/js/data-grid.js reads it from the page


def datasets(request: StudioRequest) -> HttpResponse:
    return datasets_page(request)


def datasets_page(request: StudioRequest, *, problem: str = "", status: int = 200) -> HttpResponse:
    """Data sets, imports that still run or need attention, and the place to drop a file."""
    context = {
        "datasets": Dataset.objects.for_team(request.team).select_related("author"),
        "imports": Import.objects.filter(team=request.team).unfinished().select_related("file"),
        "max_upload": settings.STUDIO_MAX_UPLOAD,
        "problem": problem,
        "archived": _just_archived(request),
    }
    # An htmx upload that is refused gets the sentence alone, beside the drop zone.
    template = "jobs/_upload_problem.html" if request.htmx and problem else "jobs/datasets.html"
    return render(request, template, context, status=status)


def dataset(request: StudioRequest, dataset_id: UUID) -> HttpResponse:
    found = _owned(request, dataset_id)
    rows, split, text = _chosen(request, found)
    total = _total(found, rows, split, text)
    left_out = Import.objects.filter(dataset=found, problems_total__gt=0).first()
    context = {
        "dataset": found,
        "rows": rows.order_by("position")[:WINDOW],
        "total": total,
        "split": split,
        "text": text,
        "window": WINDOW,
        "left_out": left_out,
        "runs": _runs_from(request, found),
    }
    return render(request, "jobs/_grid.html" if request.htmx else "jobs/dataset.html", context)


def dataset_rows(request: StudioRequest, dataset_id: UUID) -> HttpResponse:
    """One window of the grid, from the row of rank `from`: table rows and nothing else."""
    found = _owned(request, dataset_id)
    rows, split, text = _chosen(request, found)
    start = number_in(request.GET.get("from")) or 0
    if not split and not text:  # rank and position are the same: no counting through what lies before
        window = rows.filter(position__gte=start, position__lt=start + WINDOW).order_by("position")
    else:
        window = rows.order_by("position")[start : start + WINDOW]
    return render(request, "jobs/_rows.html", {"dataset": found, "rows": window})


def dataset_row(request: StudioRequest, dataset_id: UUID, position: int) -> HttpResponse:
    """One row as the conversation it is."""
    found = _owned(request, dataset_id)
    row = get_object_or_404(Row, dataset=found, position=position)
    return render(request, "jobs/_row.html", {"dataset": found, "row": row})


def dataset_quality(request: StudioRequest, dataset_id: UUID) -> HttpResponse:
    """The report on its rows, once the worker has made it."""
    return render(request, "jobs/_quality.html", {"dataset": _owned(request, dataset_id)})


def dataset_archive(request: StudioRequest, dataset_id: UUID) -> HttpResponse:
    """Out of the lists, or (undo) back again. Runs that used it keep it."""
    found = _owned(request, dataset_id)
    found.archive(request.user, undo=bool(request.POST.get("undo")))
    if found.archived_at is None:
        return redirect(found)
    return redirect(f"{reverse('datasets', kwargs={'team': request.team.slug})}?archived={found.pk}")


def dataset_download(request: StudioRequest, dataset_id: UUID) -> HttpResponseBase:
    found = _owned(request, dataset_id)
    pieces = export.json_lines(found, list(Split.values), with_split=True)
    return attachment(pieces, f"{slugify(found.name) or 'data'}.jsonl", "application/jsonl; charset=utf-8")


def _just_archived(request: StudioRequest) -> Dataset | None:
    """The data set that was put away a moment ago, so that this can be undone."""
    key = key_in(request.GET.get("archived"))
    return Dataset.objects.filter(team=request.team, pk=key, archived_at__isnull=False).first() if key else None


def _owned(request: StudioRequest, dataset_id: UUID) -> Dataset:
    found: Dataset = get_object_or_404(Dataset.objects.select_related("file"), team=request.team, pk=dataset_id)
    found.team = request.team
    return found


def _runs_from(request: StudioRequest, found: Dataset) -> list[FineTune]:
    """The newest runs that learnt from it, as links."""
    runs = list(FineTune.objects.filter(team=request.team, dataset=found).only("name", "team")[:5])
    for run in runs:
        run.team = request.team
    return runs


def _chosen(request: StudioRequest, found: Dataset) -> tuple[Any, str, str]:
    """The rows that the page's filters leave, with the filters."""
    split = request.GET.get("split", "")
    split = split if split in Split.values else ""
    text = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    return Row.objects.filter(dataset=found).showing(split, text), split, text


def _total(found: Dataset, rows: Any, split: str, text: str) -> int:
    if text:
        return int(rows.count())
    return found.counts.get(split, 0) if split else found.total
