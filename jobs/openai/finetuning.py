"""/v1/fine_tuning/jobs: starting, watching and stopping runs. What a run leaves behind is in records.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.db import transaction
from django.utils.text import slugify
from ninja import Query, Router, Schema
from pydantic import AfterValidator, Field

from jobs import happenings
from jobs.models import FineTune, LanguageModel, State, StoredFile
from jobs.openai import training_files
from jobs.openai.files import find_file
from jobs.openai.hyperparameters import Hyperparameters, LoraOptions, show_hyperparameters, show_lora, train_config
from jobs.openai.models import find_model
from jobs.openai.results import results_key
from jobs.openai.shapes import Text, named, page, seconds
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused

router = Router()


def _bounded(metadata: dict[str, str] | None) -> dict[str, str] | None:
    if metadata and (len(metadata) > 16 or any(len(key) > 64 or len(value) > 512 for key, value in metadata.items())):
        raise ValueError("metadata takes up to 16 pairs; a key has at most 64 characters, a value 512.")
    return metadata


class Supervised(Schema):
    hyperparameters: Hyperparameters | None = None


class Method(Schema):
    type: Literal["supervised"] = "supervised"
    supervised: Supervised | None = None


class JobRequest(Schema):
    model: Text
    training_file: Text
    validation_file: Text | None = None
    suffix: Annotated[Text, Field(max_length=64)] | None = None
    seed: int | None = None
    metadata: Annotated[dict[Text, Text] | None, AfterValidator(_bounded)] = None
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    lora: LoraOptions | None = None
    integrations: list[dict[str, Any]] | None = None

    def hyper(self) -> Hyperparameters:
        """The place for them is `method`; the top level is the old one and still widely used."""
        supervised = self.method.supervised if self.method else None
        return (supervised and supervised.hyperparameters) or self.hyperparameters or Hyperparameters()


@router.post("/fine_tuning/jobs", url_name="finetuning_jobs")
def create_job(request: StudioRequest, body: JobRequest) -> dict[str, Any]:
    if body.integrations:
        raise Refused(
            400,
            "This server reports to no other service; leave integrations out.",
            param="integrations",
            code="unsupported_parameter",
        )
    base = _trainable(request, body.model)
    config = train_config(base, body.hyper(), body.lora or LoraOptions(), body.seed)
    training = find_file(request, body.training_file, "training_file")
    validation = find_file(request, body.validation_file, "validation_file") if body.validation_file else None
    with transaction.atomic():
        run = FineTune.objects.create(
            team=request.team,
            author=request.user,
            name=(body.suffix or training.filename)[:80],
            suffix=slugify(body.suffix or "")[:64],
            base=base,
            template_hash=base.template_hash,
            training_file=training,
            validation_file=validation,
            config=config.to_dict(),
            request={
                "metadata": body.metadata or {},
                "training_file": training.key,
                "validation_file": validation.key if validation else None,
                "imports": training_files.imports(request, training, validation),
            },
        )
        run.events.create(message=f"Created fine-tuning job: {run.key}")
        happenings.tell(run, "started", request.user.pk, note=f"on {training.filename}")
        run.events.create(
            message=f"Validating training file: {training.key}"
            + (f" and validation file: {validation.key}" if validation else "")
        )
    FineTune.data_ready()  # the files may have been read for an earlier run
    return show_job(find_job(request, run.key))


@router.get("/fine_tuning/jobs", url_name="finetuning_jobs")
def list_jobs(
    request: StudioRequest,
    after: Annotated[Text | None, Query()] = None,
    limit: Annotated[int, Query(), Field(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    runs = FineTune.objects.for_team(request.team)
    start = named(runs, "ftjob-", after, what="fine-tuning job", param="after") if after else None
    if request.GET.get("metadata") == "null":
        runs = runs.exclude(request__has_key="metadata") | runs.filter(request__metadata={})
    for name, value in request.GET.dict().items():
        if name.startswith("metadata[") and name.endswith("]"):
            storable = "\x00" not in f"{name}{value}"
            runs = runs.filter(request__metadata__contains={name[9:-1]: value}) if storable else runs.none()
    return page(runs, "queued_at", after=start, limit=limit, show=show_job)


@router.get("/fine_tuning/jobs/{job_id}", url_name="finetuning_job")
def retrieve_job(request: StudioRequest, job_id: str) -> dict[str, Any]:
    return show_job(find_job(request, job_id))


@router.post("/fine_tuning/jobs/{job_id}/cancel", url_name="finetuning_cancel")
def cancel_job(request: StudioRequest, job_id: str) -> dict[str, Any]:
    run = find_job(request, job_id)
    if not run.request_cancel():
        raise Refused(
            400,
            f"This run has already ended ({run.get_state_display().lower()}).",
            param="fine_tuning_job_id",
            code="invalid_state",
        )
    return show_job(find_job(request, job_id))


@router.post("/fine_tuning/jobs/{job_id}/pause", url_name="finetuning_pause")
@router.post("/fine_tuning/jobs/{job_id}/resume", url_name="finetuning_resume")
def refuse_pause(request: StudioRequest, job_id: str) -> dict[str, Any]:
    find_job(request, job_id)
    raise Refused(
        400,
        "Runs cannot be paused by hand here. Cancel it, or let it run; a stopped worker resumes it by itself.",
        code="unsupported",
    )


def find_job(request: StudioRequest, job_id: str) -> FineTune:
    run: FineTune = named(FineTune.objects.for_team(request.team), "ftjob-", job_id, what="fine-tuning job")
    return run


def _trainable(request: StudioRequest, model_id: str) -> LanguageModel:
    base, adapter = find_model(request.team, model_id)
    if adapter:
        raise Refused(
            400, f"A fine-tune starts from a base model, such as {base.key}.", param="model", code="model_not_trainable"
        )
    if not LanguageModel.objects.trainable().filter(pk=base.pk).exists():
        raise Refused(
            400,
            f"{base.name} runs on another server and cannot be trained here.",
            param="model",
            code="model_not_trainable",
        )
    return base


def show_job(run: FineTune) -> dict[str, Any]:
    config = run.train_config
    hyperparameters = show_hyperparameters(run.base, config)
    return {
        "id": run.key,
        "object": "fine_tuning.job",
        "status": _status(run),
        "created_at": seconds(run.queued_at),
        "finished_at": seconds(run.finished_at),
        "estimated_finish": _estimate(run),
        "model": run.base.key,
        "fine_tuned_model": run.adapter.key if run.adapter and run.state == State.SUCCEEDED else None,
        "organization_id": run.team.slug,
        "training_file": _file_key(run, "training_file", run.training_file),
        "validation_file": _file_key(run, "validation_file", run.validation_file) or None,
        "result_files": [results_key(run)] if run.is_final and run.step else [],
        "trained_tokens": run.metrics.get("trained_tokens", run.tokens) if run.is_final and run.step else None,
        "seed": config.seed,
        "hyperparameters": hyperparameters,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "lora": show_lora(config),
        "metadata": run.request.get("metadata") or None,
        "integrations": [],
        "error": _error(run),
    }


def _status(run: FineTune) -> str:
    if run.state == State.QUEUED:
        return "queued" if run.dataset_id else "validating_files"
    return "running" if run.state == State.PAUSING else str(run.state)


def _estimate(run: FineTune) -> int | None:
    """Seconds are left from the last step on, not from now."""
    if not run.is_active or run.eta_seconds is None or run.progressed_at is None:
        return None
    return int(run.progressed_at.timestamp() + run.eta_seconds)


def _file_key(run: FineTune, role: str, file: StoredFile | None) -> str:
    """What was asked for over the API, even if the file is gone since; else the file the data set was made from."""
    if key := run.request.get(role):
        return str(key)
    if file is None and role == "training_file" and run.dataset:
        file = run.dataset.file
    return file.key if file else ""


def _error(run: FineTune) -> dict[str, Any] | None:
    if run.state != State.FAILED:
        return None
    return {"code": run.cause, "message": run.message, "param": "training_file" if run.cause == "bad_data" else None}
