"""/api/example-sets: list and fetch the team's few-shot examples."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import JsonResponse
from ninja import Query, Router, Schema
from pydantic import Field

from jobs.openai.shapes import Text
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused
from workspace.api import shapes
from workspace.api.lookup import BIGGEST
from workspace.models import ExampleSet, ExampleSetVersion, Team

router = Router(tags=["example sets"])


class Filters(Schema):
    after: Annotated[Text, Field(max_length=120)] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class Wanted(Schema):
    version: Annotated[int, Field(ge=1, le=BIGGEST)] | None = None


@router.get("/example-sets", url_name="example_sets")
def list_sets(request: StudioRequest, query: Query[Filters]) -> JsonResponse:
    """By name. `next` is what `after` takes for the following page; null at the end."""
    rows = ExampleSet.objects.for_team(request.team).filter(name__gt=query.after).order_by("name")
    found = list(rows[: query.limit + 1])
    shown = found[: query.limit]
    more = len(found) > query.limit
    return JsonResponse({"data": [shapes.show_set(one) for one in shown], "next": shown[-1].name if more else None})


@router.get("/example-sets/{set_id}", url_name="example_set")
def get_set(request: StudioRequest, set_id: str, query: Query[Wanted]) -> JsonResponse:
    """One set with its examples in order: as they are now, or as a version had them."""
    return JsonResponse(shapes.show_set_version(find_examples(request.team, set_id, query.version)))


def find_examples(team: Team, set_id: str, number: int | None) -> ExampleSetVersion:
    missing: Any = Refused(404, f"Example set not found: '{set_id[:100]}'", param="set", code="not_found")
    try:
        found = ExampleSet.objects.for_team(team).get(pk=UUID(set_id))
        version: ExampleSetVersion = found.versions.select_related("set").get(number=number or found.latest)
    except (ValueError, ExampleSet.DoesNotExist, ExampleSetVersion.DoesNotExist):
        raise missing from None
    return version
