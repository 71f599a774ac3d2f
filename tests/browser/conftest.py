"""A real Chromium looking at the real stack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.chromium import find
from tests.stack import OWNER, PASSWORD, Stack

expect.set_options(timeout=20_000)

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Closed with this folder's last test: until then playwright keeps an event loop running in this thread, and
    asyncio's tests cannot start one of their own inside it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
        yield browser
        browser.close()


def signed_in(chromium: Browser, studio: Stack, email: str, password: str, **options: Any) -> BrowserContext:
    """A fresh browser profile with that person signed in, through the page as they would."""
    context = chromium.new_context(base_url=studio.url, viewport={"width": 1600, "height": 1000}, **options)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto("/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/t/**")
    page.close()
    return context


@pytest.fixture(scope="package")
def alice_context(chromium: Browser, studio: Stack) -> Iterator[BrowserContext]:
    context = signed_in(chromium, studio, OWNER, PASSWORD)
    yield context
    context.close()


@contextmanager
def tab(context: BrowserContext) -> Iterator[Page]:
    """A tab of that person's. Any error in the page's console fails the test."""
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert not [p for p in problems if "ERR_INTERNET_DISCONNECTED" not in p], problems


@pytest.fixture
def alice(alice_context: BrowserContext) -> Iterator[Page]:
    with tab(alice_context) as page:
        yield page


HOLD = """(address) => {
  const whole = window.fetch;
  const free = new Promise((letGo) => { window.letGo = letGo; });
  window.fetch = async (...asked) => {
    if (new RegExp(address).test(asked[0].url ?? asked[0])) {
      document.body.dataset.held = "";
      await free;
    }
    return whole(...asked);
  };
}"""


@contextmanager
def held(page: Page, address: str) -> Iterator[None]:
    """Meanwhile, what this page's scripts fetch from an address like that is on its way; `body[data-held]` says that
    something is. (A route that holds a request is lost where Chromium does not tell Playwright of it.)"""
    page.evaluate(HOLD, address)
    yield
    page.evaluate("window.letGo()")
