"""Langfuse's list of prompts: one entry a name, with the versions that match the filters. In pages with a total."""

from __future__ import annotations

from typing import Annotated, Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import F, Q
from ninja import Schema
from pydantic import AwareDatetime, Field

from jobs.openai.shapes import Text
from workspace.api.lookup import BIGGEST
from workspace.models import Prompt, PromptLabel, PromptVersion, Team
from workspace.prompts import LATEST

MAX_PAGE = 100_000


class Filters(Schema):
    name: Text | None = None
    label: Text | None = None
    tag: Text | None = None
    version: Annotated[int, Field(ge=1, le=BIGGEST)] | None = None
    page: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    fromUpdatedAt: AwareDatetime | None = None
    toUpdatedAt: AwareDatetime | None = None


def page(team: Team, filters: Filters) -> dict[str, Any]:
    """Five queries, whatever the page holds."""
    matching = PromptVersion.objects.filter(_matching(filters))
    rows = Prompt.objects.for_team(team)
    if filters.name:
        rows = rows.filter(name=filters.name)
    if filters.tag:
        rows = rows.tagged(filters.tag)
    rows = rows.filter(pk__in=matching.filter(prompt__team=team).values("prompt"))
    total = rows.count()
    start = filters.limit * (filters.page - 1)
    shown = list(rows.order_by("name")[start : start + filters.limit])
    meta = {
        "page": filters.page,
        "limit": filters.limit,
        "totalPages": -(-total // filters.limit),
        "totalItems": total,
    }
    return {"data": _entries(shown, matching), "meta": meta, "pagination": meta}


def _matching(filters: Filters) -> Q:
    wanted = Q()
    if filters.version:
        wanted &= Q(number=filters.version)
    if filters.label:
        wanted &= Q(number=F("prompt__latest")) if filters.label == LATEST else Q(labels__name=filters.label)
    if filters.fromUpdatedAt:
        wanted &= Q(created_at__gte=filters.fromUpdatedAt)
    if filters.toUpdatedAt:
        wanted &= Q(created_at__lt=filters.toUpdatedAt)
    return wanted


def _entries(shown: list[Prompt], matching: Any) -> list[dict[str, Any]]:
    ids = [prompt.pk for prompt in shown]
    grouped = matching.filter(prompt__in=ids).order_by().values("prompt")
    numbers: dict[Any, list[int]] = dict(
        grouped.annotate(numbers=ArrayAgg("number", distinct=True)).values_list("prompt", "numbers")
    )
    newest = {prompt: max(found) for prompt, found in numbers.items()}
    config = dict(
        PromptVersion.objects.filter(
            Q(*(Q(prompt=prompt, number=number) for prompt, number in newest.items()), _connector=Q.OR)
        ).values_list("prompt", "config")
        if newest
        else ()
    )
    labels: dict[Any, set[str]] = {}
    for prompt, name, number in PromptLabel.objects.filter(prompt__in=ids).values_list(
        "prompt", "name", "version__number"
    ):
        if number in numbers[prompt]:
            labels.setdefault(prompt, set()).add(name)
    return [
        {
            "name": prompt.name,
            "type": prompt.kind,
            "versions": numbers[prompt.pk],
            "labels": [
                *sorted(labels.get(prompt.pk, ())),
                *([LATEST] if prompt.latest in numbers[prompt.pk] else []),
            ],
            "tags": prompt.tags,
            "lastUpdatedAt": prompt.updated_at,
            "lastConfig": config[prompt.pk],
        }
        for prompt in shown
    ]
