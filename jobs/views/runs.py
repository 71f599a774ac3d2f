"""One run, watched: its state in a line, curves, sample answers, log; and cancelling or stopping it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django_htmx.http import HttpResponseClientRefresh

from jobs import notices
from jobs.ml.config import TrainConfig
from jobs.models import Cause, FineTune, SampleAnswer, State, Worker
from llmstudio.asked import number_in
from llmstudio.http import StudioRequest

LOG_LINES = 100
CURVES = ("learning_rate", "grad_norm", "tokens_per_second", "memory_bytes")


def finetune(request: StudioRequest, finetune_id: UUID) -> HttpResponse:
    run = _owned(request, finetune_id)
    context = {
        **_progress(run),
        "samples": _samples(run),
        "events": _events(run),
        "options": _options(run),
        "first_eval": run.points.filter(kind="eval").order_by("step").first(),
    }
    return render(request, "jobs/finetune.html", context)


def finetune_progress(request: StudioRequest, finetune_id: UUID) -> HttpResponse:
    """The state in a line, with figures and buttons. When the state is another one than the page shows, the page is made anew."""
    run = _owned(request, finetune_id)
    if request.GET.get("was", run.state) != run.state:
        return HttpResponseClientRefresh()
    return render(request, "jobs/_progress.html", _progress(run))


def finetune_points(request: StudioRequest, finetune_id: UUID) -> JsonResponse:
    """The curves after the steps that the page has: training points and validation points."""
    run = _owned(request, finetune_id)
    seen = {kind: number_in(request.GET.get(kind)) for kind in ("train", "eval")}
    train, evals = (run.curve(kind, -1 if last is None else last) for kind, last in seen.items())
    return JsonResponse(
        {
            "total": run.total_steps,
            "train": [[p.step, p.loss, *(getattr(p, name) for name in CURVES)] for p in train],
            "eval": [[p.step, p.loss] for p in evals],
        }
    )


def finetune_samples(request: StudioRequest, finetune_id: UUID) -> HttpResponse:
    run = _owned(request, finetune_id)
    return render(request, "jobs/_samples.html", {"run": run, "samples": _samples(run)})


def finetune_log(request: StudioRequest, finetune_id: UUID) -> HttpResponse:
    run = _owned(request, finetune_id)
    return render(request, "jobs/_log.html", {"run": run, "events": _events(run)})


def finetune_cancel(request: StudioRequest, finetune_id: UUID) -> HttpResponse:
    run = _owned(request, finetune_id)
    if run.request_cancel():
        run.events.create(level="warn", message=f"{request.user} asked to cancel the run.")
        notices.changed(request.team.pk, "run", run.pk)
    return redirect(run)


def finetune_stop(request: StudioRequest, finetune_id: UUID) -> HttpResponse:
    """Finish now, and keep the best weights so far."""
    run = _owned(request, finetune_id)
    if run.request_stop():
        run.events.create(message=f"{request.user} asked to stop the run and keep its best weights.")
        notices.changed(request.team.pk, "run", run.pk)
    return redirect(run)


def _owned(request: StudioRequest, finetune_id: UUID) -> FineTune:
    run: FineTune = get_object_or_404(FineTune.objects.for_team(request.team), pk=finetune_id)
    run.team = request.team
    if run.dataset:
        run.dataset.team = request.team
    return run


def _progress(run: FineTune) -> dict[str, Any]:
    context: dict[str, Any] = {"run": run}
    if not run.is_final:
        context["no_worker"] = "train" not in Worker.objects.all().kinds_alive()
    if run.state == State.QUEUED and run.dataset_id:
        context["ahead"], context["wait"] = run.ahead()
    if run.state in (State.FAILED, State.CANCELLED):
        context["ways_on"] = _ways_on(run)
    return context


def _ways_on(run: FineTune) -> list[tuple[str, str]]:
    """What can be done about a run that did not succeed: words on a button, and where it leads. The likeliest first."""
    team = {"team": run.team.slug}
    form = reverse("finetune_new", kwargs=team)

    def again(words: str, **changes: Any) -> tuple[str, str]:
        return words, f"{form}?{urlencode({'from': run.pk, **changes})}"

    config = run.train_config
    data = [("Look at the data", run.dataset.get_absolute_url())] if run.dataset else []
    if run.cause == Cause.OOM:
        half = {
            "batch_size": max(config.batch_size // 2, 1),
            "gradient_accumulation_steps": min(config.gradient_accumulation_steps * 2, 64),
        }
        small = {"max_length": max(config.max_length // 2, 32)}
        first = (
            again("Try again with half the batch", **half)
            if config.batch_size > 1
            else again("Try again with half the length", **small)
        )
        return [
            first,
            again("Save memory by computing twice", gradient_checkpointing="on"),
            again("Change it and try again"),
        ]
    if run.cause == Cause.BAD_DATA:
        return [*data, again("Choose other data", dataset="")]
    if run.cause == Cause.MODEL_MISSING:
        return [("Look at the models", reverse("models", kwargs=team)), again("Try again")]
    return [again("Start again with changes"), *data]


def _samples(run: FineTune) -> dict[str, Any]:
    """The probe answers as a table: a line for each prompt, a column for each evaluation."""
    answers = list(SampleAnswer.objects.filter(finetune=run))
    steps = sorted({answer.step for answer in answers})
    by_place = {(answer.index, answer.step): answer.text for answer in answers}
    lines = [
        {"prompt": row.prompt, "wanted": row.answer, "answers": [by_place.get((index, step)) for step in steps]}
        for index, row in enumerate(run.probe_rows() if answers else [])
    ]
    return {"steps": steps, "lines": lines}


def _events(run: FineTune) -> list[Any]:
    """The newest lines of the run's history, oldest first, without the curves' points."""
    return list(run.events.exclude(kind="metrics").order_by("-pk")[:LOG_LINES])[::-1]


def _options(run: FineTune) -> list[dict[str, Any]]:
    """The configuration, flat, marking what differs from the run before it on the same base."""
    before = (
        FineTune.objects.filter(team=run.team, base=run.base, queued_at__lt=run.queued_at)
        .order_by("-queued_at")
        .only("config")
        .first()
    )
    earlier = _flat(before.train_config) if before else {}
    return [
        {
            "name": name.replace("_", " "),
            "value": value,
            "before": earlier.get(name),
            "changed": name in earlier and earlier[name] != value,
        }
        for name, value in _flat(run.train_config).items()
    ]


def _flat(config: TrainConfig) -> dict[str, Any]:
    """In the configuration's own order, the adapter's shape first."""
    values = config.to_dict()
    shape: dict[str, Any] = values.pop("lora")
    return shape | values
