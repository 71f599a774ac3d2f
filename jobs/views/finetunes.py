"""Fine-tunes: the list, the form with its check, and starting a run. Watching one is in runs.py."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import transaction
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render

from jobs.finetune_form import FineTuneForm, initial_of
from jobs.models import Dataset, FineTune, LanguageModel, Worker
from jobs.plans import Check, NotPossible, Prospect, microscope
from llmstudio.asked import key_in, number_in
from llmstudio.http import StudioRequest

LISTED = 200


def finetunes(request: StudioRequest) -> HttpResponse:
    """All runs, the newest first. htmx asks for the table alone."""
    context = {
        "runs": FineTune.objects.for_team(request.team)[:LISTED],
        "no_worker": "train" not in Worker.objects.all().kinds_alive(),
        "has_data": Dataset.objects.for_team(request.team).exists(),
    }
    return render(request, "jobs/_finetunes.html" if request.htmx else "jobs/finetunes.html", context)


def finetune_new(request: StudioRequest) -> HttpResponse:
    """The form, filled in for a base and a data set or from an earlier run; POST starts the run."""
    if request.method == "POST":
        return _start(request)
    form = FineTuneForm(request.team, initial=_first_values(request))
    return render(request, "jobs/_finetune_form.html" if request.htmx else "jobs/finetune_new.html", {"form": form})


def _start(request: StudioRequest) -> HttpResponse:
    form = FineTuneForm(request.team, request.POST)
    check, problem = _checked(form)
    if check is None or check.refusals or problem:
        return render(
            request,
            "jobs/finetune_new.html",
            {"form": form, "check": check, "problem": problem, "tried": True},
            status=422,
        )
    values = form.cleaned_data
    with transaction.atomic():
        run = FineTune.objects.filter(team=request.team, pk=values["id"]).first() or FineTune.launch(
            pk=values["id"],
            team=request.team,
            author=request.user,
            name=values["name"],
            base=values["base"],
            dataset=values["dataset"],
            config=form.config(),
            plan=check.to_dict(),
        )
    return redirect(run)


def finetune_check(request: StudioRequest) -> HttpResponse:
    """The check block for the form as it stands."""
    form = FineTuneForm(request.team, request.POST)
    check, problem = _checked(form, starting=False)
    return render(request, "jobs/_check.html", {"form": form, "check": check, "problem": problem})


def finetune_tokens(request: StudioRequest) -> HttpResponse:
    """One training row as the model will see it."""
    form = FineTuneForm(request.team, request.POST)
    if not form.is_valid():
        return render(request, "jobs/_tokens.html", {"problem": "Correct the fields above first."})
    rank = number_in(request.POST.get("row"))
    try:
        seen = microscope(_prospect(form), form.config(), 1 if rank is None else rank)
    except NotPossible as error:
        return render(request, "jobs/_tokens.html", {"problem": str(error)})
    return render(
        request, "jobs/_tokens.html", {"seen": seen, "rows": form.cleaned_data["dataset"].counts.get("train", 0)}
    )


def _checked(form: FineTuneForm, *, starting: bool = True) -> tuple[Check | None, str]:
    """The plan of a valid form, and what stands against starting."""
    if not form.is_valid():
        return None, ""
    if starting and form.rate_is_high and not form.cleaned_data["confirm_rate"]:
        form.add_error("learning_rate", "Above 1e-3 the loss often runs away. Lower it, or confirm it below.")
        return None, ""
    try:
        return _prospect(form).check(form.config()), ""
    except NotPossible as error:
        return None, str(error)


def _prospect(form: FineTuneForm) -> Prospect:
    return Prospect(form.cleaned_data["base"], form.cleaned_data["dataset"])


def _first_values(request: StudioRequest) -> dict[str, Any]:
    """From an earlier run (`from`), the suggestions for the chosen pair, and whatever else the address names."""
    asked = request.GET
    values: dict[str, Any] = {}
    earlier = _one(FineTune.objects.for_team(request.team), asked.get("from", ""))
    if earlier:
        values |= initial_of(earlier)
    bases = LanguageModel.objects.for_team(request.team).trainable()
    base = (
        bases.filter(pk=wanted).first()
        if (wanted := number_in(asked.get("base")))
        else values.get("base") or bases.first()
    )
    dataset = _one(Dataset.objects.for_team(request.team), asked.get("dataset", "")) or values.get("dataset")
    dataset = dataset or (Dataset.objects.for_team(request.team).first() if "dataset" not in asked else None)
    values |= {"base": base, "dataset": dataset}
    if base and dataset and not earlier:
        values["name"] = dataset.name[:80]
        with suppress(NotPossible):  # the check block says so
            values |= Prospect(base, dataset).suggestions()
    values |= _typed(asked)
    return values


def _typed(asked: QueryDict) -> dict[str, str]:
    """Values that a person has typed already, or that a link proposes (half the batch, say)."""
    names = [*FineTuneForm.VISIBLE, *(name for names in FineTuneForm.ADVANCED.values() for name in names), "name"]
    return {name: asked.get(name, "")[:80] for name in names if name in asked}


def _one(rows: Any, key: str) -> Any:
    found = key_in(key)
    return rows.filter(pk=found).first() if found else None
