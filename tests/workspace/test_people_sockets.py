"""Who loses their standing loses their open tabs too, within a moment and without a reload."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.test import Client

from llmstudio.asgi import application
from tests.conftest import PASSWORD, browser, joined, person
from workspace.models import Role, Team, User

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 5  # the promise: a tab is closed within this time


@sync_to_async
def cast() -> tuple[Team, User, Client, Client]:
    alice = person("alice@example.com")
    team = Team.found("Lighthouse", alice)
    bob = joined(team, "bob@example.com", Role.EDITOR)
    tab = browser()
    tab.post("/accounts/login/", {"login": bob.email, "password": PASSWORD})
    return team, bob, browser(alice), tab


async def open_tab(client: Client, team: Team) -> ApplicationCommunicator:
    cookie = f"sessionid={client.cookies['sessionid'].value}".encode()
    headers = [(b"cookie", cookie), (b"origin", settings.STUDIO_URL.encode())]
    tab = ApplicationCommunicator(application, {"type": "websocket", "path": f"/ws/{team.slug}/", "headers": headers})
    await tab.send_input({"type": "websocket.connect"})
    assert (await tab.receive_output(SECONDS))["type"] == "websocket.accept"
    assert (await frame(tab))["type"] == "hello"
    return tab


async def frame(tab: ApplicationCommunicator) -> dict[str, Any]:
    return json.loads((await tab.receive_output(SECONDS))["text"])


async def closed(tab: ApplicationCommunicator) -> int:
    """The code with which the server closes the tab."""
    while (event := await tab.receive_output(SECONDS))["type"] != "websocket.close":
        pass
    return int(event["code"])


def remove(team: Team, bob: User, alices: Client, bobs: Client) -> None:
    alices.post(f"/t/{team.slug}/settings/members/{team.memberships.get(user=bob).pk}/", {"remove": "1"})


def leave(team: Team, bob: User, alices: Client, bobs: Client) -> None:
    bobs.post(f"/t/{team.slug}/settings/leave/")


def sign_out(team: Team, bob: User, alices: Client, bobs: Client) -> None:
    bobs.post("/accounts/logout/")


def sign_out_elsewhere(team: Team, bob: User, alices: Client, bobs: Client) -> None:
    phone = browser()
    phone.post("/accounts/login/", {"login": bob.email, "password": PASSWORD})
    phone.post("/accounts/sessions/")


def change_password(team: Team, bob: User, alices: Client, bobs: Client) -> None:
    phone, new = browser(), "purple monkey dishwasher"
    phone.post("/accounts/login/", {"login": bob.email, "password": PASSWORD})
    phone.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})


@pytest.mark.parametrize("happening", [remove, leave, sign_out, sign_out_elsewhere, change_password])
async def test_an_open_tab_is_closed_by(happening: Callable[..., None]) -> None:
    team, bob, alices, bobs = await cast()
    tab = await open_tab(bobs, team)
    await sync_to_async(happening)(team, bob, alices, bobs)
    assert await closed(tab) == 4403


async def test_a_new_role_leaves_the_tab_open() -> None:
    team, bob, alices, bobs = await cast()
    tab = await open_tab(bobs, team)
    member = await sync_to_async(team.memberships.get)(user=bob)
    await sync_to_async(alices.post)(f"/t/{team.slug}/settings/members/{member.pk}/", {"role": int(Role.VIEWER)})
    assert (await frame(tab))["object"] == f"member:{bob.pk}"
    await tab.send_input({"type": "websocket.disconnect", "code": 1000})
    await tab.wait(SECONDS)
