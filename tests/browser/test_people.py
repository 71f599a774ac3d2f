"""Inviting someone, making a key and removing someone, as people do it."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import signed_in
from tests.stack import OWNER, PASSWORD, Stack


def test_a_team_mate_is_invited_joins_and_is_removed(alice: Page, chromium: Browser, studio: Stack) -> None:
    alice.goto("/")
    alice.get_by_role("link", name="Settings").click()
    alice.wait_for_url("**/settings/")
    invitations = alice.locator("#invitations")
    invitations.get_by_label("E-mail").fill("erin@example.com")
    invitations.get_by_role("button", name="Invite").click()
    link = invitations.locator("#invitation-link")
    expect(link).to_contain_text("/invite/")
    invitations.get_by_role("button", name="Copy").click()
    expect(alice.get_by_text("Copied.")).to_be_visible()
    assert alice.evaluate("navigator.clipboard.readText()") == link.inner_text()

    erins = chromium.new_context(base_url=studio.url)
    erin = erins.new_page()
    erin.goto(link.inner_text())
    expect(erin.get_by_label("E-mail")).to_have_value("erin@example.com")
    erin.get_by_label("Your name").fill("Erin Field")
    erin.get_by_label("Password").fill(PASSWORD)
    erin.get_by_role("button", name="Create the account and join").click()
    erin.wait_for_url("**/t/**")
    erin.get_by_role("link", name="Settings").click()
    expect(erin.get_by_role("button", name="Invite")).to_have_count(0)  # an editor invites nobody

    alice.reload()
    expect(link).to_have_count(0)  # shown once
    alice.get_by_role("button", name="Remove Erin Field").click()
    dialog = alice.get_by_role("dialog", name="Remove Erin Field?")
    dialog.get_by_role("button", name="Remove").click()
    expect(alice.get_by_text("Erin Field is no longer in the team.")).to_be_visible()
    erin.reload()
    expect(erin.get_by_role("heading", name="There is nothing here")).to_be_visible()
    erins.close()


def test_a_key_is_shown_once_and_answers(alice: Page, studio: Stack) -> None:
    alice.goto("/")
    alice.get_by_role("link", name="Settings").click()
    alice.wait_for_url("**/settings/")
    keys = alice.locator("#keys")
    keys.get_by_label("Name").fill("nightly script")
    keys.get_by_role("button", name="Create a key").click()
    secret = keys.locator("#new-key").inner_text()
    assert re.fullmatch(r"sk-[\w-]{40,}", secret)
    answer = alice.request.get("/v1/models", headers={"Authorization": f"Bearer {secret}"})
    assert answer.ok
    alice.reload()
    expect(keys.locator("#new-key")).to_have_count(0)

    keys.get_by_role("button", name="Revoke nightly script").click()
    alice.get_by_role("dialog", name="Revoke nightly script?").get_by_role("button", name="Revoke").click()
    expect(alice.get_by_text("The key nightly script no longer works.")).to_be_visible()
    assert alice.request.get("/v1/models", headers={"Authorization": f"Bearer {secret}"}).status == 401


def test_signing_out_ends_only_this_browser(chromium: Browser, studio: Stack) -> None:
    here, there = (signed_in(chromium, studio, OWNER, PASSWORD) for _ in range(2))
    tab = here.new_page()
    tab.goto("/")
    tab.get_by_label(re.compile("account menu")).click()
    tab.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    other = there.new_page()
    other.goto("/profile/")
    expect(other.get_by_role("heading", name="Security", exact=True)).to_be_visible()
    here.close()
    there.close()
