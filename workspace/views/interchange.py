"""Taking prompts in, in two steps, and out. What is pasted or uploaded is read here, kept in the page's own form, and stored
only once a person has seen what would become of it."""

from __future__ import annotations

import csv
import io
from typing import Any

from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import content_disposition_header

from llmstudio.asked import key_or_404, number_in
from llmstudio.http import StudioRequest
from workspace import exports, intake
from workspace.intake import PROBLEM, Choice
from workspace.interchange import FORMATS, IMPORTS, detect
from workspace.interchange.drafts import MAX_BYTES, MOST, Refused
from workspace.models import Prompt, PromptVersion
from workspace.views.prompt_list import plural


def prompt_import(request: StudioRequest) -> HttpResponse:
    """Paste or upload; look at what would happen; take it in. Each step is the same address."""
    folder = request.POST.get("folder", request.GET.get("folder", "")).strip(" /")[:190]
    context: dict[str, Any] = {
        "formats": IMPORTS,
        "format": request.POST.get("format", ""),
        "folder": folder,
        "text": request.POST.get("text", "").replace("\r\n", "\n"),
        "filename": request.POST.get("filename", "")[:200],
        "max_bytes": MAX_BYTES,
        "most": MOST,
    }
    if request.method == "GET":
        return render(request, "workspace/prompt_import.html", context)
    try:
        if upload := request.FILES.get("file"):
            context["filename"] = upload.name or ""
            context["text"] = detect.text_of(upload.read(MAX_BYTES + 1), context["filename"])
        whole = detect.read(context["text"], context["filename"], context["format"])
    except Refused as problem:
        return render(request, "workspace/prompt_import.html", context | {"problem": str(problem)}, status=422)
    context |= {
        "whole": whole,
        "guess": whole.guesses[0],
        "files": len(whole.guesses),
        "cases": as_csv(whole.reading.cases),
    }
    return _decided(request, context, whole)


def _decided(request: StudioRequest, context: dict[str, Any], whole: detect.Whole) -> HttpResponse:
    items, step = whole.reading.items, request.POST.get("step", "read")
    context["source"] = IMPORTS.get(whole.guesses[0].format, "a file") if len(whole.guesses) == 1 else "files"
    how: dict[str, Any] = {
        "folder": context["folder"],
        "choices": choices(request, len(items)) if step in ("check", "take") else {},
        "source": context["source"],
    }
    if step == "take":
        with transaction.atomic():
            outcomes = intake.take_in(items, request.membership, **how)
            agreed = refused_count(request) if "agree" in request.POST else 0
            taken = sum(outcome.did == PROBLEM for outcome in outcomes) <= agreed
            if not taken:
                transaction.set_rollback(True)
    else:
        outcomes, taken = intake.rehearse(items, request.membership, **how), False
    counts = intake.counted(outcomes)
    context |= {
        "outcomes": outcomes,
        "counts": [(intake.SAID[did], number) for did, number in counts.items()],
        "problems": counts.get(PROBLEM, 0),
        "wanted": sum(counts.get(did, 0) for did in (intake.NEW, intake.VERSION, intake.ALIAS)),
        "skipped": {at for at, choice in how["choices"].items() if choice.skip},
        "names": names(request) if any(outcome.did in (PROBLEM, intake.ALIAS) for outcome in outcomes) else [],
    }
    if taken:
        return render(request, "workspace/prompt_imported.html", context)
    if step == "take":
        context["problem"] = (
            f"Nothing was taken in yet: {plural(context['problems'])} of {len(items)} cannot be kept. Repair the file, give "
            "other names, or agree that the rest is taken in without them."
        )
    return render(request, "workspace/prompt_import.html", context, status=422 if step == "take" else 200)


def choices(request: StudioRequest, count: int) -> dict[int, Choice]:
    return {
        at: Choice(request.POST.get(f"do-{at}") == "skip", request.POST.get(f"name-{at}", "").strip())
        for at in range(count)
    }


def refused_count(request: StudioRequest) -> int:
    """How many the person saw that cannot be kept: agreeing to one is not agreeing to two."""
    return number_in(request.POST.get("problems")) or 0


def names(request: StudioRequest) -> list[str]:
    found = Prompt.objects.for_team(request.team).order_by("-updated_at").values_list("name", flat=True)
    return list(found[:500])


def as_csv(cases: list[dict[str, str]]) -> str:
    """Inputs as CSV, for the playground."""
    if not cases:
        return ""
    columns = list(dict.fromkeys(name for case in cases for name in case))
    held = io.StringIO()
    writer = csv.DictWriter(held, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(cases)
    return held.getvalue()


def prompt_export(request: StudioRequest) -> HttpResponse:
    """One version, the newest of some prompts, or of a whole folder."""
    asked = request.POST if request.method == "POST" else request.GET
    format_ = asked.get("format", "markdown")
    if format_ not in FORMATS:
        raise Http404
    if asked.get("version"):
        versions = [one_version(request, asked.get("prompt", ""), asked["version"])]
    else:
        found = Prompt.objects.filter(team=request.team)
        if "folder" in asked and not asked.getlist("prompt"):
            found = found.filter(archived_at=None).in_folder(asked["folder"].strip("/"))
            chosen = list(found[: exports.MOST + 1])
        else:
            ids = {key_or_404(value) for value in asked.getlist("prompt")}
            chosen = list(found.filter(pk__in=ids))
            if len(chosen) != len(ids):
                raise Http404
        if not chosen or len(chosen) > exports.MOST:
            why = (
                f"At most {exports.MOST:,} prompts fit into one export." if chosen else "There is no prompt to export."
            )
            return HttpResponse(f"{why} Choose a folder or some prompts.", status=422, content_type="text/plain")
        versions = exports.latest(chosen)
    file = exports.file(exports.drafts(versions), format_)
    response = HttpResponse(file.content, content_type=f"{file.type}; charset=utf-8")
    response.headers["Content-Disposition"] = content_disposition_header(True, file.name) or "attachment"
    return response


def one_version(request: StudioRequest, prompt: str, number: str) -> PromptVersion:
    rows = PromptVersion.objects.select_related("prompt__team", "examples__set").prefetch_related("labels")
    return get_object_or_404(rows, prompt__team=request.team, prompt=key_or_404(prompt), number=number_in(number))
