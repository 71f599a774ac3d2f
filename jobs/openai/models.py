"""/v1/models: the base models a team has, and its own adapters as `ft:` models."""

from __future__ import annotations

import uuid
from typing import Any

from ninja import Router

from jobs.models import Adapter, LanguageModel
from jobs.openai.shapes import seconds
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused

router = Router()


@router.get("/models", url_name="models")
def list_models(request: StudioRequest) -> dict[str, Any]:
    bases = [show_base(base) for base in LanguageModel.objects.for_team(request.team)]
    adapters = [show_adapter(adapter) for adapter in Adapter.objects.for_team(request.team)]
    return {"object": "list", "data": [*bases, *adapters]}


@router.get("/models/{path:model_id}", url_name="model")
def retrieve_model(request: StudioRequest, model_id: str) -> dict[str, Any]:
    base, adapter = find_model(request.team, model_id)
    return show_adapter(adapter) if adapter else show_base(base)


@router.delete("/models/{path:model_id}", url_name="model")
def delete_model(request: StudioRequest, model_id: str) -> dict[str, Any]:
    """An adapter leaves every list; its run and its files stay, and the models page can bring it back."""
    _, adapter = find_model(request.team, model_id)
    if adapter is None:
        raise Refused(
            400,
            "Only fine-tuned models (ft:...) can be deleted here; an admin removes base models on the models page.",
            param="model",
        )
    adapter.archive(request.user)
    return {"id": model_id, "object": "model", "deleted": True}


def find_model(team: Any, model_id: str) -> tuple[LanguageModel, Adapter | None]:
    """What a model id names for this team: a base, or a base and the team's adapter on it."""
    if model_id.startswith("ft:"):
        adapter = _find_adapter(team, model_id)
        if adapter:
            return adapter.base, adapter
    elif "\x00" not in model_id and (base := LanguageModel.objects.for_team(team).filter(key=model_id).first()):
        return base, None
    raise Refused(
        404,
        f"The model {model_id[:200]!r} does not exist, or your team has no access to it.",
        param="model",
        code="model_not_found",
    )


def _find_adapter(team: Any, model_id: str) -> Adapter | None:
    """The id ends with the first eight digits of the adapter's own, which is a range of the index."""
    start = model_id.rpartition(":")[2]
    try:
        low, high = uuid.UUID(hex=start.ljust(32, "0")), uuid.UUID(hex=start.ljust(32, "f"))
    except ValueError:
        return None
    rows = Adapter.objects.for_team(team).filter(pk__gte=low, pk__lte=high, base__enabled=True)
    return next((adapter for adapter in rows if adapter.key == model_id), None)


def show_base(base: LanguageModel) -> dict[str, Any]:
    return {
        "id": base.key,
        "object": "model",
        "created": seconds(base.created_at),
        "owned_by": "llm-studio",
        "root": base.key,
        "parent": None,
        "max_model_len": base.context_length,
    }


def show_adapter(adapter: Adapter) -> dict[str, Any]:
    return {
        **show_base(adapter.base),
        "id": adapter.key,
        "created": seconds(adapter.created_at),
        "owned_by": adapter.team.slug,
        "parent": adapter.base.key,
    }
