"""Every page, as a picture would show it: no serious accessibility finding, nothing wider than the screen, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.objects import make_objects
from tests.stack import Stack

TEAM_PAGES = [
    "chat/",
    "examples/",
    "data/",
    "finetunes/",
    "finetunes/new",
    "models/",
    "settings/",
    "activity/",
    "notices/",
    "playground/",
    "prompts/",
    "prompts/import/",
    "prompts/new/",
    "prompts/settings/",
]
OWN_PAGES = [
    "/profile",
    "/accounts/2fa/",
    "/accounts/sessions/",
    "/accounts/password/change/",
    "/accounts/2fa/totp/activate",
]
PUBLIC_PAGES = ["/accounts/login/", "/accounts/password/reset/", "/invite/not-a-real-token"]
SERIOUS = {"serious", "critical"}


def team_url(page: Page) -> str:
    page.goto("/")
    return page.url.split("/t/")[0] + "/t/" + page.url.split("/t/")[1].split("/")[0] + "/"


def findings(page: Page) -> list[str]:
    response: dict[str, Any] = Axe().run(page).response
    return [
        f"{page.url}: {violation['id']} ({violation['impact']}): {[node['html'][:160] for node in violation['nodes'][:3]]}"
        for violation in response["violations"]
        if violation["impact"] in SERIOUS
    ]


def too_wide(page: Page) -> list[str]:
    excess = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [f"{page.url} is {excess} px wider than a screen of {page.viewport_size}"] if excess > 1 else []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_a_member_are_accessible_and_fit(alice_context: BrowserContext, theme: str) -> None:
    page = alice_context.new_page()
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    base = team_url(page)
    problems: list[str] = []
    for path in [*(base + part for part in TEAM_PAGES), *OWN_PAGES]:
        answer = page.goto(path)
        assert answer and answer.status == 200, path
        page.set_viewport_size({"width": 1600, "height": 1000})
        problems += findings(page) + too_wide(page)
        page.set_viewport_size({"width": 360, "height": 740})
        problems += too_wide(page)
        if theme == "light":
            problems += findings(page)
    page.close()
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="module")
def objects(studio: Stack) -> dict[str, str]:
    return make_objects(studio)


def test_pages_of_the_prompt_workspace_are_accessible_and_fit(
    alice_context: BrowserContext, objects: dict[str, str]
) -> None:
    """With something on them: a prompt and its versions, a set, a grid, and the lists that they are in."""
    page = alice_context.new_page()
    base = team_url(page)
    lists = [base + part for part in ("prompts/", "prompts/?folder=support", "examples/", "playground/", "activity/")]
    problems: list[str] = []
    for path in [*objects.values(), *lists, base + "notices/", base + "prompts/settings/"]:
        page.set_viewport_size({"width": 1600, "height": 1000})
        answer = page.goto(path)
        assert answer and answer.status == 200, path
        page.wait_for_load_state("networkidle")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            problems += [f"{theme}: {finding}" for finding in findings(page)]
        problems += too_wide(page)
        page.set_viewport_size({"width": 360, "height": 740})
        problems += too_wide(page)
    page.close()
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_for_anyone_are_accessible_and_fit(chromium: Browser, studio: Stack, theme: str) -> None:
    context = chromium.new_context(base_url=studio.url, color_scheme=theme, viewport={"width": 360, "height": 740})  # type: ignore[arg-type]
    page = context.new_page()
    problems: list[str] = []
    for path in PUBLIC_PAGES:
        page.goto(path)
        problems += findings(page) + too_wide(page)
    context.close()
    assert not problems, "\n".join(problems)


def test_the_web_process_stays_small(studio: Stack, alice: Page) -> None:
    """Under 200 MB resident after it has served every kind of page: it never loads torch."""
    base = team_url(alice)
    for part in TEAM_PAGES:
        alice.goto(base + part)
    resident = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"llmstudio.asgi:application" in command and str(studio.port).encode() in command:
                status = (process / "status").read_text()
                resident = int(status.split("VmRSS:")[1].split()[0]) * 1024
        except (OSError, IndexError):
            continue
    assert 0 < resident < 200e6, f"{resident / 1e6:.0f} MB"
