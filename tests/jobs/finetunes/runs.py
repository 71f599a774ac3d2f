"""A run in any state, and where the pages of fine-tunes are."""

from __future__ import annotations

from django.urls import reverse

from jobs.ml.config import TrainConfig
from jobs.models import Dataset, FineTune, LanguageModel
from workspace.models import Team, User


def at(name: str, team: Team, **extra: object) -> str:
    return reverse(name, kwargs={"team": team.slug, **extra})


def a_run(
    team: Team, base: LanguageModel, dataset: Dataset | None, author: User | None = None, **fields: object
) -> FineTune:
    return FineTune.objects.create(
        team=team,
        base=base,
        dataset=dataset,
        author=author,
        name=fields.pop("name", "French"),
        config=TrainConfig().to_dict(),
        **fields,
    )
