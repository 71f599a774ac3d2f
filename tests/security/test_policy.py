"""The policy table and the doors are one: every URL, method and socket action, for everybody in the cast.

The tests read the resolver and the consumer: a new door without its row fails here before anyone writes a test for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import NoReverseMatch

from llmstudio.policy import ANYONE, EDITOR, OWNER, ROUTES, SIGNED_IN, SOCKET, VIEWER
from tests.conftest import browser
from tests.security.doors import ALL, BODIES, KEYED, METHODS, OPEN, TEAM, Door, least
from workspace.consumers import StudioConsumer
from workspace.models import Team, User

STANDING = {"nobody": ANYONE, "charlie": SIGNED_IN, "dana": VIEWER, "bob": EDITOR, "alice": OWNER}  # in alice's team


@contextmanager
def undone() -> Iterator[None]:
    """What a request changes is taken back, so that each door is met by the same cast."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def cast(alice: User, bob: User, dana: User, charlie: User, other_team: Team) -> dict[str, User | None]:
    return {"nobody": None, "charlie": charlie, "dana": dana, "bob": bob, "alice": alice}


def knock(client: Client, door: Door, method: str, **values: Any) -> HttpResponse:
    if (door.name, method) in BODIES:
        body = json.dumps(BODIES[door.name, method])
        return client.generic(method, door.path(**values), body, content_type="application/json")
    return client.generic(method, door.path(**values), content_type="application/x-www-form-urlencoded")


def shaped(door: Door, response: HttpResponse) -> bool:
    """A refusal is in the words of those who use the door."""
    if response.status_code < 400:
        return True
    body = json.loads(response.content)
    if door.is_langfuse:
        return set(body) == {"message", "error"}
    return set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}


def text(response: Any) -> str:
    """The page without what differs between any two requests."""
    differing = r'"X-CSRFToken": "\w+"|"inlineScriptNonce": "[^"]*"|value="\w{64}"|nonce="[^"]*"'
    return re.sub(differing, "", response.content.decode())


class TestTheTable:
    def test_every_door_has_a_row_and_every_row_a_door(self) -> None:
        assert {door.name for door in ALL} == set(ROUTES)

    def test_exactly_the_doors_under_a_team_ask_for_a_role_in_it(self) -> None:
        for door in OPEN:
            roles = [role for role in door.rules.values() if role >= VIEWER]
            assert bool(roles) == (door.in_team or door.by_key), door
            assert not roles or len(roles) == len(door.rules), door

    def test_every_socket_action_has_a_row_and_every_row_an_action(self) -> None:
        handlers = {name.removeprefix("on_") for name in dir(StudioConsumer) if name.startswith("on_")}
        assert handlers == set(SOCKET)

    def test_a_door_without_a_row_is_not_there(self, as_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        assert as_alice.get("/profile/").status_code == 200
        monkeypatch.delitem(ROUTES, "profile")
        assert as_alice.get("/profile/").status_code == 404

    def test_a_door_that_is_shut_is_not_there(self, as_alice: Client) -> None:
        for door in set(ALL) - set(OPEN):
            for method in METHODS:
                assert knock(as_alice, door, method).status_code == 404, door


@pytest.mark.parametrize("who", STANDING)
def test_every_page_for(who: str, cast: dict[str, User | None], team: Team) -> None:
    """Whoever lacks the role is stopped before the view runs; whoever has it is not."""
    wrong = []
    for door in OPEN:
        for method in door.rules if not door.by_key else ():
            with undone():
                response = knock(browser(cast[who]), door, method, team=team.slug)
            need, has = door.rules[method], STANDING[who]
            to_sign_in = response.status_code == 302 and response["Location"].startswith("/accounts/login/")
            if need > ANYONE and has == ANYONE:
                right = to_sign_in
            elif need >= VIEWER and has == SIGNED_IN:
                right = response.status_code == 404
            elif need > has:
                right = response.status_code == 403
            else:  # let in; what the view then makes of an empty form is its own business, short of failing
                right = response.status_code != 500 and not (to_sign_in and need)
                right = right and (response.status_code != 403 or need <= SIGNED_IN)
            if not right:
                wrong.append((door.name, method, response.status_code, response.headers.get("Location")))
    assert not wrong


@pytest.mark.parametrize("who", ["nobody", "dana", "alice"])
def test_every_api_door_for(
    who: str, cast: dict[str, User | None], team: Team, issue_key: Callable[[Team, User], str]
) -> None:
    """The same by key. A browser's session counts for nothing there."""
    user, wrong = cast[who], []
    client = Client(headers={"Authorization": f"Bearer {issue_key(team, user)}"}) if user else browser(cast["alice"])
    for door in KEYED:
        for method, need in door.rules.items():
            with undone():
                response = knock(client, door, method)
            has = STANDING[who]
            want = {401} if has == ANYONE else {403} if need > has else set(range(200, 500)) - {401, 403}
            if response.status_code not in want or not shaped(door, response):
                wrong.append((door.name, method, response.status_code))
    assert not wrong


def test_a_method_without_a_row_is_refused(as_alice: Client, team: Team, api_key: str) -> None:
    wrong = []
    for door in OPEN:
        client = Client(headers={"Authorization": f"Bearer {api_key}"}) if door.by_key else as_alice
        for method in METHODS:
            if least(door, method) is None:
                response = knock(client, door, method, team=team.slug)
                if response.status_code != 405 or set(response["Allow"].split(", ")) != set(door.rules):
                    wrong.append((door.name, method, response.status_code))
    assert not wrong


def test_a_foreign_team_looks_exactly_like_a_missing_one(as_charlie: Client, team: Team) -> None:
    nothing = text(as_charlie.get("/no/such/page/"))
    for door in TEAM:
        for method in door.rules:
            foreign = knock(as_charlie, door, method, team=team.slug)
            missing = knock(as_charlie, door, method, team="no-such-team")
            assert foreign.status_code == missing.status_code == 404, door
            assert text(foreign) == text(missing) == nothing, door
            assert team.name not in text(foreign), door


def test_a_form_from_elsewhere_is_refused(alice: User, team: Team) -> None:
    """Cross-site request forgery: a POST without our token changes nothing, whoever's session comes along."""
    strict = browser(alice, enforce_csrf_checks=True)
    for door in OPEN:
        if "POST" in door.rules and not door.by_key:
            response = knock(strict, door, "POST", team=team.slug)
            assert response.status_code == 403, door
            assert "gone stale" in response.content.decode(), door


def test_a_fragment_that_finds_the_session_gone_takes_its_page_to_the_sign_in(as_nobody: Client, team: Team) -> None:
    page = f"http://testserver/t/{team.slug}/settings/"
    response = as_nobody.get(page, headers={"HX-Request": "true", "HX-Current-URL": page})
    assert response["HX-Redirect"] == f"/accounts/login/?next=/t/{team.slug}/settings/"


class TestSomebodyElsesObjects:
    """An id of another team, under one's own team, is as good as no id."""

    def test_pages(self, as_alice: Client, team: Team, foreign: dict[str, Any]) -> None:
        assert self.reached(as_alice, TEAM, foreign | {"team": team.slug}) == []

    def test_the_api(self, api_key: str, foreign_to_programs: dict[str, Any]) -> None:
        client = Client(headers={"Authorization": f"Bearer {api_key}"})
        assert self.reached(client, KEYED, foreign_to_programs) == []

    def reached(self, client: Client, doors: list[Door], ids: dict[str, Any]) -> list[tuple[str, str, int]]:
        found = []
        for door in doors:
            for method in door.rules if door.children else ():
                with undone():
                    response = knock(client, door, method, **ids)
                if response.status_code != 404:
                    found.append((door.name, method, response.status_code))
        return found

    def test_every_kind_of_id_has_an_object_here(
        self, foreign: dict[str, Any], foreign_to_programs: dict[str, Any]
    ) -> None:
        assert {child for door in TEAM for child in door.children} <= set(foreign)
        assert {child for door in KEYED for child in door.children} <= set(foreign_to_programs)

    def test_their_owner_does_reach_them(
        self,
        as_charlie: Client,
        charlie: User,
        other_team: Team,
        foreign: dict[str, Any],
        foreign_to_programs: dict[str, Any],
        issue_key: Callable[[Team, User], str],
    ) -> None:
        """Or the tests above would prove nothing."""
        program = Client(headers={"Authorization": f"Bearer {issue_key(other_team, charlie)}"})
        for door in [door for door in [*TEAM, *KEYED] if door.children and "GET" in door.rules]:
            client, ids = (program, foreign_to_programs) if door.by_key else (as_charlie, foreign)
            assert knock(client, door, "GET", team=other_team.slug, **ids).status_code != 404, door


def test_blank_values_for_every_door_can_be_made() -> None:
    for door in ALL:
        try:
            door.path(team="x")
        except (NoReverseMatch, KeyError) as error:
            pytest.fail(f"{door}: {error}")
