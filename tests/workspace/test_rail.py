"""The rail is drawn once for whoever sees it alike: it follows every change, and its form holds each reader's own token."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from tests.conftest import browser
from workspace.models import Membership, Role, Team, User

pytestmark = pytest.mark.django_db


def frame(client: Client, team: Team, page: str = "prompts/") -> tuple[str, str]:
    """The rail, and the places that the palette knows."""
    text = client.get(f"/t/{team.slug}/{page}").text
    rail = re.search(r'<nav class="rail".*?</nav>', text, re.DOTALL)
    places = re.search(r"<div hidden>\s*<a data-go.*?</div>", text, re.DOTALL)
    assert rail and places
    return rail[0], places[0]


def test_it_follows_names_and_teams(as_alice: Client, alice: User, team: Team) -> None:
    assert "Lighthouse" in frame(as_alice, team)[0]
    Team.objects.filter(pk=team.pk).update(name="Beacon")
    rail = frame(as_alice, team)[0]
    assert "Beacon" in rail and "Lighthouse" not in rail
    alice.name = "Alice Lamp"
    alice.save()
    assert "Alice Lamp" in frame(as_alice, team)[0]
    Team.found("Pier", alice)
    assert "Pier" in frame(as_alice, team)[0]
    Membership.objects.filter(user=alice, team__name="Pier").delete()
    assert "Pier" not in frame(as_alice, team)[0]


def test_it_marks_the_team_and_the_part_one_is_in(as_alice: Client, alice: User, team: Team) -> None:
    pier = Team.found("Lighthouse", alice)  # two of one name
    marked = r'href="/t/([\w-]+)/" aria-current="true"'
    assert re.findall(marked, frame(as_alice, team)[0]) == [team.slug]
    assert re.findall(marked, frame(as_alice, pier)[0]) == [pier.slug]
    part = rf'href="/t/{team.slug}/(\w+)/"[^>]* aria-current="page"'
    assert [re.findall(part, frame(as_alice, team, f"{page}/")[0]) for page in ("prompts", "models", "data")] == [
        ["prompts"], ["models"], ["data"],
    ]  # fmt: skip


def test_people_in_one_team_see_their_own_teams_name_and_places(
    as_alice: Client, as_dana: Client, alice: User, team: Team
) -> None:
    Team.found("Pier", alice)
    (mine, my_places), (hers, her_places) = frame(as_alice, team), frame(as_dana, team)
    assert "Pier" in mine and "Pier" not in hers and "Dana" in hers and "Alice" not in hers
    assert "New prompt" in my_places and "New prompt" not in her_places
    Membership.objects.filter(user__name="Dana").update(role=Role.EDITOR)
    assert "New prompt" in frame(as_dana, team)[1]


def test_signing_out_works_from_a_rail_that_was_drawn_for_another_visit(alice: User, team: Team) -> None:
    for _ in range(2):
        client = browser(alice, enforce_csrf_checks=True)
        token = re.search(r'logout.*?name="csrfmiddlewaretoken" value="(\w+)"', frame(client, team)[0], re.DOTALL)
        assert token and client.post("/accounts/logout/", {"csrfmiddlewaretoken": token[1]}).status_code == 302
        assert client.get(f"/t/{team.slug}/prompts/").status_code == 302
