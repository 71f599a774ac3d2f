"""The prompt library as people use it: found while typing, by keyboard, starred, many archived and taken back, imported."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.test_pages import findings, team_url, too_wide

TWO = """[
  {"name": "lib/mail/complaint", "type": "text", "prompt": "Answer an unhappy customer.", "tags": ["libtest"]},
  {"name": "lib/mail/offer", "type": "text", "prompt": "Write an offer.", "tags": ["libtest"]},
  {"name": "lib/broken", "type": "chat", "prompt": "x"}
]"""


def test_import_find_star_archive_and_undo(alice: Page) -> None:
    base = team_url(alice)
    alice.goto(base + "prompts/import/")
    alice.get_by_label("Paste it here").fill(TWO)
    alice.get_by_role("button", name="Look at it").click()
    expect(alice.get_by_role("heading", name="2 of 3 would be taken in")).to_be_visible()
    expect(alice.get_by_text("Its type is chat, but its prompt is a text.")).to_be_visible()
    problems = findings(alice)
    alice.get_by_label("Take in the rest without the 1 that cannot be kept.").check()
    alice.get_by_role("button", name="Take in 2").click()
    expect(alice.get_by_text("Taken in from Langfuse JSON: 2 of 3.")).to_be_visible()
    problems += findings(alice)
    alice.goto(base + "prompts/?tags=libtest")

    # / searches as one types; arrows move; the address follows
    alice.keyboard.press("/")
    alice.keyboard.type("unhap")
    rows = alice.locator("tr[data-row]")
    expect(rows).to_have_count(1)
    expect(alice.locator("#prompt-list-search")).to_be_focused()
    expect(alice).to_have_url(re.compile("q=unhap"))
    expect(alice).to_have_url(re.compile("tags=libtest"))
    alice.keyboard.press("ArrowDown")
    expect(alice.locator(".prompt-list-name a").first).to_be_focused()
    alice.keyboard.press("s")
    expect(alice.get_by_role("button", name="Favourite: lib/mail/complaint")).to_have_attribute("aria-pressed", "true")
    alice.keyboard.press("Enter")
    alice.wait_for_url(re.compile(r"/prompts/[0-9a-f-]{36}/"))

    # choosing many: the bar, archive, undo
    alice.goto(base + "prompts/?folder=lib/mail&sort=name")
    expect(rows).to_have_count(2)
    alice.keyboard.press("j")
    alice.keyboard.press("x")
    expect(alice.get_by_text("1 prompt chosen")).to_be_visible()
    alice.get_by_label("Choose all that are shown").check()
    expect(alice.get_by_text("2 prompts chosen")).to_be_visible()
    problems += findings(alice)
    alice.get_by_text("Tag", exact=True).click()
    alice.get_by_label("Tags, separated by commas").fill("house")
    alice.keyboard.press("Enter")
    expect(alice.get_by_text("Tagged 2 prompts with house.")).to_be_visible()
    alice.wait_for_load_state()  # a new page: choosing all works from here on
    alice.get_by_label("Choose all that are shown").check()
    alice.get_by_role("button", name="Archive", exact=True).click()
    expect(alice.get_by_text("Archived 2 prompts")).to_be_visible()
    alice.get_by_role("button", name="Undo").click()
    expect(rows).to_have_count(2)
    problems += findings(alice) + too_wide(alice)
    alice.set_viewport_size({"width": 360, "height": 740})
    problems += findings(alice) + too_wide(alice)
    assert not problems, "\n".join(problems)
