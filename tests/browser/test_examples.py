"""Few-shot sets as two people change them at once, and leave one out on the real model."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import held, signed_in
from tests.browser.test_pages import findings, team_url, too_wide
from tests.stack import OWNER, PASSWORD, Stack

MAKE_FRANK = f"""
from workspace.models import Role, Team, User
frank = User.objects.create_user("frank@example.com", "{PASSWORD}", name="Frank Field")
Team.objects.get(memberships__user__email="{OWNER}").memberships.create(user=frank, role=Role.EDITOR)
"""
MAKE_PROMPT = f"""
from workspace.models import ExampleSet, Prompt
found = ExampleSet.objects.get(name="Greetings", team__memberships__user__email="{OWNER}")
Prompt.start(team=found.team, author=found.author, name="examples/translate", examples=found.newest, shots={{"count": 2}},
             messages=[{{"role": "user", "content": "{{{{text}}}}"}}])
"""


@pytest.fixture(scope="module")
def frank_context(chromium: Browser, studio: Stack) -> Iterator[BrowserContext]:
    studio.manage("shell", "-c", MAKE_FRANK)
    context = signed_in(chromium, studio, "frank@example.com", PASSWORD)
    yield context
    context.close()


def add(page: Page, input: str, output: str) -> None:
    page.get_by_role("button", name="Add an example").click()
    row = page.locator(".example-editing").last
    expect(row.get_by_label("Input")).to_be_focused()
    row.get_by_label("Input").fill(input)
    row.get_by_label("Output").fill(output)


def save(page: Page) -> None:
    page.get_by_role("button", name="Save a version").click()


def saved(page: Page, version: int) -> None:
    expect(page.get_by_text(f"Saved as version {version}.")).to_be_visible()
    page.wait_for_load_state()  # its scripts listen from here on


def discard(page: Page) -> None:
    page.get_by_role("link", name="Discard").click()
    expect(page.get_by_role("button", name="Save a version")).to_have_count(0)
    page.wait_for_load_state()
    expect(page.get_by_role("button", name="Put them back")).to_have_count(0)


def shows(page: Page, *inputs: str) -> None:
    rows = page.locator("#example-list .example-text:not(.example-output)")
    expect(rows).to_have_text([f"Input: {text}" for text in inputs])


def test_two_people_build_a_set_and_lose_nothing(alice: Page, frank_context: BrowserContext) -> None:
    alice.goto(team_url(alice) + "examples/")
    alice.get_by_role("button", name="New set").first.click()
    alice.get_by_label("Name", exact=True).last.fill("Greetings")
    alice.get_by_role("button", name="Create the set").click()
    expect(alice.get_by_text("No examples yet")).to_be_visible()
    alice.wait_for_load_state()
    url = alice.url
    for input, output in (("Hello", "Bonjour"), ("Good night", "Bonne nuit"), ("Thank you", "Merci")):
        add(alice, input, output)
    expect(alice.locator("[data-changes]")).to_have_text("3 added")
    save(alice)
    saved(alice, 2)
    expect(alice.locator(".set-tokens")).to_contain_text(re.compile(r"\d+ tokens"))
    shows(alice, "Hello", "Good night", "Thank you")

    frank = frank_context.new_page()
    frank.goto(url)
    expect(alice.get_by_title("Frank Field is here")).to_be_visible()

    handle = alice.locator("[data-handle]").last
    handle.press("ArrowUp")
    handle = alice.locator("[data-handle]").nth(1)
    expect(handle).to_be_focused()
    expect(alice.locator("[data-changes]")).to_have_text("Moved to place 2")
    alice.locator("[data-handle]").nth(2).drag_to(alice.locator(".example").first, target_position={"x": 200, "y": 4})
    shows(alice, "Good night", "Hello", "Thank you")
    save(alice)
    saved(alice, 3)
    expect(frank.locator("#example-list .example-text").first).to_contain_text("Good night")  # refreshed by itself

    frank.get_by_role("button", name="Edit example 3").click()
    frank.get_by_label("Output").fill("Merci bien")
    alice.get_by_role("button", name="Edit example 3").click()
    alice.get_by_label("Output").fill("Merci beaucoup")
    add(alice, "Please", "S'il vous plaît")
    save(alice)
    saved(alice, 4)
    expect(frank.get_by_text("Someone saved a newer version.")).to_be_visible()
    expect(frank.get_by_label("Output")).to_have_value("Merci bien")
    save(frank)
    expect(frank.get_by_role("heading", name="Changed by both")).to_be_visible()
    assert not findings(frank) + too_wide(frank)
    frank.get_by_label("Mine").check()
    frank.get_by_role("button", name="Save both together").click()
    saved(frank, 5)
    shows(frank, "Good night", "Hello", "Thank you", "Please")
    expect(frank.locator(".example-output").nth(2)).to_contain_text("Merci bien")
    frank.get_by_role("button", name="Edit example 1").click()
    frank.get_by_label("Output").fill("Bonne nuit à tous")
    frank.once("dialog", lambda dialog: dialog.accept())
    frank.reload()  # left without saving
    frank.get_by_role("button", name="Put them back").click()
    expect(frank.get_by_label("Output")).to_have_value("Bonne nuit à tous")
    frank_context.set_offline(True)
    save(frank)  # into the void
    expect(frank.get_by_role("button", name="Save a version")).to_have_count(0)
    frank_context.set_offline(False)
    frank.goto(url)
    frank.get_by_role("button", name="Put them back").click()
    expect(frank.get_by_label("Output")).to_have_value("Bonne nuit à tous")
    discard(frank)

    # what frank begins while a change of alice's is on its way to him stays
    with held(frank, r"/examples/[0-9a-f-]{36}/\?"):
        alice.reload()
        alice.get_by_role("button", name="4 stars").first.click()
        expect(frank.locator("body[data-held]")).to_have_count(1)
        frank.get_by_role("button", name="Edit example 1").click()
        frank.get_by_label("Output").fill("Bonne nuit, mes amis")
    expect(frank.locator("#examples[data-stale]")).to_have_count(1)  # it will be drawn later
    expect(frank.get_by_label("Output")).to_have_value("Bonne nuit, mes amis")
    discard(frank)
    expect(frank.locator(".stars").first).to_contain_text("4.0")

    frank.get_by_role("button", name="5 stars").first.click()
    expect(alice.locator(".stars").first).to_contain_text("4.5")  # alice sees it without asking
    frank.close()

    for page in (url, url + "history/", team_url(alice) + "examples/"):
        alice.goto(page)
        for width in (1600, 360):
            alice.set_viewport_size({"width": width, "height": 900})
            assert not findings(alice) + too_wide(alice)
    alice.set_viewport_size({"width": 1600, "height": 1000})


def test_leave_one_out_on_the_real_model(alice: Page, studio: Stack) -> None:
    studio.manage("shell", "-c", MAKE_PROMPT)
    alice.goto(team_url(alice) + "examples/")
    alice.get_by_role("link", name="Greetings").click()
    alice.get_by_role("link", name="Leave one out").last.click()
    alice.get_by_label("How many rows").fill("3")
    alice.get_by_label("Longest answer").fill("4")
    alice.get_by_label("Metric").select_option("chrf")
    alice.get_by_role("button", name="Start").click()
    expect(alice.get_by_text(re.compile(r"With all examples the score is 0\.\d+, over 3 rows"))).to_be_visible(
        timeout=90_000
    )
    rows = alice.locator("table.trial tbody tr")
    expect(rows).to_have_count(2)
    for row in rows.all():
        expect(row).to_contain_text(
            re.compile(r"0\.\d{3}.*(Not enough rows to tell|No difference on these rows)", re.S)
        )
    assert not findings(alice) + too_wide(alice)


def test_a_data_sets_row_is_kept_as_an_example_and_leads_back(alice: Page) -> None:
    alice.goto(team_url(alice) + "data/")
    alice.get_by_role("link", name=re.compile("Interface strings")).first.click()
    alice.wait_for_url(re.compile(r"/data/[0-9a-f-]{36}/$"))  # its script listens once it has loaded
    alice.locator("tr[data-position]").first.click()
    alice.get_by_role("button", name="Keep as example").click()
    dialog = alice.get_by_role("dialog", name="Keep as example")
    expect(dialog.get_by_label("Output")).not_to_have_value("")
    dialog.get_by_label("Input").fill("Kept from a row")
    dialog.get_by_label(re.compile("new set", re.I)).fill("Kept rows")
    dialog.get_by_role("button", name="Keep it").click()
    kept = alice.get_by_role("dialog", name="Kept")
    kept.get_by_role("link", name="Open the set").click()
    expect(alice.locator(".example-text").first).to_contain_text("Kept from a row")
    alice.get_by_role("link", name="Data set row").click()
    expect(alice.get_by_role("heading", name="Row 1", exact=True)).to_be_visible()
