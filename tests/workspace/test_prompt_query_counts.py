"""The pages of prompts cost as many queries with 200 prompts as with 5, and with 40 versions as with 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from workspace.models import Membership, Prompt, PromptLabel, PromptVersion, Role, Team, User

MOST = 30  # queries of one page; far above what any takes now, so that only a mistake reaches it


@pytest.fixture
def grow(team: Team, alice: User) -> Callable[[int, int], Prompt]:
    """So many more prompts, each with so many versions, labels, tags and a folder; returns the first."""
    owner = Membership.objects.get(team=team, user=alice)

    def grow(prompts: int, versions: int) -> Prompt:
        first = Prompt.objects.count()
        made = Prompt.objects.bulk_create(
            Prompt(
                team=team, author=alice, name=f"folder{n % 7}/below{n % 3}/prompt-{n}", tags=[f"t{n % 9}", "all"],
                latest=versions,
            )
            for n in range(first, first + prompts)
        )  # fmt: skip
        said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say {{word}}."}]
        PromptVersion.objects.bulk_create(
            PromptVersion(
                prompt=prompt, number=number, author=alice, messages=said, variables=[{"name": "word", "type": "text"}]
            )
            for prompt in made
            for number in range(1, versions + 1)
        )
        for prompt in made[:3]:
            prompt.index()
            PromptLabel.move(prompt.find(version=1), "production", by=owner)
            PromptLabel.move(prompt.find(version=1), "staging", by=owner)
        alice.favourite_prompts.add(*made[:3])
        return made[0]

    return grow


def queries(client: Client, url: str, **headers: str) -> int:
    client.get(url, headers=headers)  # what is looked up once and kept
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(url, headers=headers)
    assert answer.status_code == 200, url
    return len(captured)


@pytest.mark.parametrize("role", [Role.OWNER, Role.VIEWER])
def test_no_page_of_prompts_asks_more_of_the_database_as_the_library_grows(
    as_alice: Client, as_dana: Client, team: Team, grow: Callable[[int, int], Prompt], role: Role
) -> None:
    client = as_alice if role == Role.OWNER else as_dana
    library = f"/t/{team.slug}/prompts/"
    htmx = {"HX-Request": "true"}
    pages: dict[str, tuple[str, dict[str, str]]] = {
        "list": (library, {}),
        "list by name": (f"{library}?sort=name", {}),
        "folder": (f"{library}?folder=folder1", {}),
        "search": (f"{library}?q=say", {}),
        "filters": (f"{library}?q=brief&tags=all&label=production&kind=chat", {}),
        "favourites": (f"{library}?favourites=1", {}),
        "what the filters leave": (f"{library}?q=say", htmx),
    }

    def counted(prompt: Prompt) -> dict[str, int]:
        prompt.refresh_from_db()
        newest = "" if role == Role.OWNER else f"v/{prompt.latest}/"  # the editor is for those who may write
        opened: dict[str, Any] = {
            "open": (f"{library}{prompt.pk}/{newest}", {}),
            "old version": (f"{library}{prompt.pk}/v/1/", {}),
        }
        return {name: queries(client, url, **headers) for name, (url, headers) in (pages | opened).items()}

    few = counted(grow(5, 2))
    many = counted(grow(195, 40))
    assert few == many
    assert max(many.values()) <= MOST
