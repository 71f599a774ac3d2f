"""What the frame does on every page: a dialog is left by a press beside it, times are the reader's own, and a line that does
not come up is said and made up for."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect

from tests.browser.conftest import tab
from tests.browser.test_chat import start
from tests.browser.test_pages import team_url
from tests.stack import Stack


def test_a_press_beside_a_dialog_closes_it_and_a_selection_that_ends_there_does_not(alice: Page) -> None:
    alice.goto(team_url(alice) + "data/")
    alice.get_by_role("link", name=re.compile("Interface strings")).first.click()
    alice.wait_for_url(re.compile(r"/data/[0-9a-f-]{36}/$"))
    alice.locator("tr[data-position]").first.click()
    alice.get_by_role("button", name="Keep as example").click()
    dialog = alice.get_by_role("dialog", name="Keep as example")  # it came as a fragment
    words = dialog.get_by_label("Output")
    words.fill("Half a thought")
    words.hover()
    alice.mouse.down()
    alice.mouse.move(8, 500, steps=4)  # selecting to the left, out of the dialog
    alice.mouse.up()
    expect(words).to_have_value("Half a thought")
    alice.mouse.click(8, 500)
    expect(dialog).to_have_count(0)


def test_times_are_in_the_readers_own_zone(chromium: Browser, alice_context: BrowserContext, studio: Stack) -> None:
    with tab(alice_context) as alice:
        chat = start(alice, "Hi.")
    there = chromium.new_context(
        base_url=studio.url, storage_state=alice_context.storage_state(), timezone_id="Asia/Kolkata", locale="en-GB"
    )
    with tab(there) as page:
        page.goto(chat)
        time = page.locator(".turn-meta time").first
        expect(time).to_have_attribute("title", re.compile(r"\d"))
        said = datetime.fromisoformat(time.get_attribute("datetime") or "").astimezone(ZoneInfo("Asia/Kolkata"))
        expect(time).to_have_text(f"{said:%H:%M}")
    there.close()


NO_LINE = """window.WebSocket = class {
  constructor() { setTimeout(() => this.onclose?.({ code: 1006 })); }
  close() {}
};"""


def test_a_line_that_never_comes_up_is_said(alice: Page) -> None:
    alice.add_init_script(NO_LINE)
    alice.goto("/")
    expect(alice.get_by_text("Connection lost")).to_be_visible()


# A line that is up within a second of the page counts as having been there from the start.
UNTIL_LATE = """() => new Promise((late) => {
  const [{ responseStart }] = performance.getEntriesByType("navigation");
  const look = () => (performance.now() - responseStart > 1000 ? late() : requestAnimationFrame(look));
  look();
})"""


def test_a_line_that_comes_up_late_makes_up_for_what_was_missed(alice: Page) -> None:
    lines: list[WebSocketRoute] = []
    alice.route_web_socket(re.compile("/ws/"), lambda line: lines.append(line))
    sets = team_url(alice) + "examples/"
    alice.goto(sets)
    with tab(alice.context) as second:
        second.goto(sets)
        second.get_by_role("button", name="New set").first.click()
        second.get_by_label("Name", exact=True).last.fill("Made meanwhile")
        second.get_by_role("button", name="Create the set").click()
        expect(second.get_by_role("heading", name="Made meanwhile")).to_be_visible()
    expect(alice.get_by_role("link", name="Made meanwhile")).to_have_count(0)
    alice.evaluate(UNTIL_LATE)
    lines[-1].connect_to_server()
    expect(alice.get_by_role("link", name="Made meanwhile")).to_be_visible()
