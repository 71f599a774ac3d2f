"""The prompts that `/` offers in chat: which ones, in which order, and the version of each. It only reads."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Exists, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from workspace import prompts, variables
from workspace.models import Prompt, PromptVersion, Team, User
from workspace.models.includes import included_texts
from workspace.prompts import PRODUCTION
from workspace.variables import Variable

SHOWN = 20
FOLDERS = 8


def offered(team: Team, user: User, query: str) -> QuerySet[Any]:
    """Favourites first, then those named so, then the latest. Each row has `pick` (the version's id: production, else
    the newest), `number`, `favourite`."""
    versions = PromptVersion.objects.filter(prompt=OuterRef("pk"))
    released = versions.filter(labels__name=PRODUCTION)
    newest = versions.filter(number=OuterRef("latest"))
    favourites = Prompt.favourites.through.objects.filter(prompt=OuterRef("pk"), user=user)
    rows = Prompt.objects.for_team(team)
    folder, slash, words = query.rpartition("/")
    rows = rows.in_folder(folder) if slash and not words.strip() else rows.search(query)
    called = When(name__icontains=words.strip() or query, then=Value(0))
    return rows.annotate(
        pick=Coalesce(Subquery(released.values("pk")[:1]), Subquery(newest.values("pk")[:1])),
        number=Coalesce(Subquery(released.values("number")[:1]), "latest"),
        released=Exists(released),
        favourite=Exists(favourites),
        called=Case(called, default=Value(1)),
    ).order_by("-favourite", "called", "-updated_at")


def folders(team: Team, query: str) -> list[str]:
    """The folders one level below the one that is being typed: all at the top for nothing typed."""
    within = query[:-1] if query.endswith("/") else ""
    if query and not within:
        return []
    rows = Prompt.objects.for_team(team).in_folder(within).exclude(folder=within)
    depth = len(within) + 1 if within else 0
    found = rows.order_by("folder").values_list("folder", flat=True).distinct()
    below = {folder[:depth] + folder[depth:].partition("/")[0] for folder in found}
    return sorted(below)[:FOLDERS]


def questions(version: PromptVersion) -> list[Variable]:
    """The variables to ask for, those of the texts it includes now among them. Raises PromptError."""
    texts = included_texts(version.prompt.team, version.messages, within=version.prompt.name)
    used = prompts.variables_in(version.messages, texts.values())
    return variables.declared(version.variables, used)
