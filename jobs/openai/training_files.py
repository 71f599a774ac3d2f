"""The files a run names, as the imports that read them. What was read for an earlier run is not read again."""

from __future__ import annotations

from jobs.datasets.detection import guess
from jobs.models import Import, State, StoredFile
from jobs.tasks import ring_on_commit
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused


def imports(request: StudioRequest, training: StoredFile, validation: StoredFile | None) -> dict[str, str]:
    """Role -> import id. Beside a validation file all of the training file trains; else it is split as usual."""
    if validation is None:
        return {"training": str(_import(request, training, {}, "training_file").pk)}
    return {
        "training": str(_import(request, training, {"train": 1.0}, "training_file").pk),
        "validation": str(_import(request, validation, {"validation": 1.0}, "validation_file").pk),
    }


def _import(request: StudioRequest, file: StoredFile, shares: dict[str, float], param: str) -> Import:
    earlier = Import.objects.filter(team=request.team, file=file, shares=shares, mapping={}, skip_bad=False).exclude(
        state__in=(State.FAILED, State.CANCELLED)
    )
    known: Import
    for known in earlier.select_related("dataset"):
        if not known.is_final or (known.dataset and known.dataset.archived_at is None):
            return known
    job: Import = Import.objects.create(
        team=request.team,
        author=request.user,
        file=file,
        name=file.filename[:120],
        format=_format(file, param),
        shares=shares,
    )
    ring_on_commit("default")
    return job


def _format(file: StoredFile, param: str) -> str:
    """Which of the two JSONL formats this is; the import then checks every line."""
    found = guess(file.path, file.filename)
    if found.format in (Import.Format.CHAT, Import.Format.COMPLETION):
        return found.format
    wanted = 'A training file is JSONL: one {"messages": [...]} or {"prompt": ..., "completion": ...} a line.'
    raise Refused(400, f"{file.filename}: {found.evidence} {wanted}", param=param, code="invalid_file_format")
