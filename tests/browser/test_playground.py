"""The playground on the real model: answers stream into their cells, one is stopped, and a blind row is voted on by key."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_pages import findings, too_wide
from tests.stack import OWNER, Stack

MAKE_GRID = f"""
from jobs.models import LanguageModel
from workspace.models import Grid, Team, User
alice = User.objects.get(email="{OWNER}")
team, model = Team.objects.get(memberships__user=alice), LanguageModel.objects.get()
grid = Grid.objects.create(team=team, author=alice, name="Stories")
for name, most in (("Short", 20), ("Long", 400)):
    grid.add_column(label=name, model=model, params={{"max_tokens": most, "temperature": 0.7, "seed": 1}},
                    messages=[{{"role": "user", "content": "Write a very long story about {{{{thing}}}}, at least four hundred words."}}])
grid.add_inputs([{{"thing": "a lighthouse"}}, {{"thing": "a harbour"}}])
print(grid.get_absolute_url())
"""

SHORT, LONG = "tr:nth-child(1) td[data-place='0']", "tr:nth-child(1) td[data-place='1']"


@pytest.fixture(scope="module")
def grid_url(studio: Stack) -> str:
    return studio.manage("shell", "-c", MAKE_GRID).splitlines()[-1]


def test_cells_stream_one_is_stopped_and_a_blind_row_is_voted_on(alice: Page, grid_url: str) -> None:
    alice.goto(grid_url)
    expect(alice.locator("td.sheet-cell").first).to_have_text("Not run yet")
    alice.keyboard.press("Control+Enter")

    running = alice.locator(f"{LONG}[data-state='running'] .cell-text")
    expect(running).not_to_be_empty()
    early = running.inner_text()
    alice.wait_for_function(
        "([at, was]) => document.querySelector(at).textContent.length > was",
        arg=[f"{LONG} .cell-text", len(early) + 40],
    )
    assert running.inner_text().startswith(early), "it grows word by word"
    expect(alice.locator("#sheet-progress")).to_contain_text("of 4 cells")

    alice.locator(LONG).focus()
    alice.keyboard.press("Escape")
    expect(alice.locator(LONG)).to_have_attribute("data-state", "cancelled")
    expect(alice.locator(LONG)).to_contain_text("Stopped")
    expect(alice.locator(SHORT)).to_have_attribute("data-state", "succeeded")
    expect(alice.locator(SHORT)).to_contain_text("tokens/s")
    expect(alice.locator("tr:nth-child(2) td[data-state='running']")).to_have_count(1)  # the others go on
    alice.get_by_role("button", name="Stop all").click()
    expect(alice.locator("td:is([data-state='running'], [data-state='queued'])")).to_have_count(0)

    alice.locator(SHORT).focus()
    alice.keyboard.press("Enter")
    panel = alice.locator("#cell-panel")
    expect(panel).to_contain_text("Write a very long story about a lighthouse")
    panel.get_by_title("Good").click()
    expect(panel.get_by_role("button", name="Good")).to_have_attribute("aria-pressed", "true")
    alice.keyboard.press("Escape")
    expect(alice.locator(SHORT).get_by_label("Good")).to_be_visible()

    alice.locator(SHORT).focus()
    alice.keyboard.press("x")
    alice.get_by_role("button", name="1 marked").click()
    dialog = alice.get_by_role("dialog").filter(has_text="Send to a data set")
    expect(dialog.locator("input[name=cell]")).to_have_count(1)
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()

    alice.get_by_label("More for this grid").click()
    alice.get_by_role("button", name="Name, blind mode, scores").click()
    alice.get_by_label("Blind mode").select_option("1")
    alice.get_by_role("button", name="Save").click()
    row = alice.locator("tbody tr").first
    expect(row.get_by_role("button", name="Best")).to_have_count(2)
    alice.wait_for_load_state()  # a new page: its keys work from here on
    expect(row).not_to_contain_text("Short")
    alice.keyboard.press("1")
    expect(row).to_contain_text("Your choice")
    expect(row).to_contain_text("Short")
    expect(alice.locator("tbody tr").nth(1)).not_to_contain_text("Short")
    expect(alice.locator("#sheet-progress")).to_contain_text("1 vote")


BREAK_OFF = """() => {
  const through = window.fetch;
  window.fetch = async (url, options) => {
    const answer = await through(url, options);
    if (!String(url).includes("sheet=1")) return answer;
    window.fetch = through;
    document.body.dataset.brokeOff = "yes";
    answer.text = () => Promise.reject(new TypeError("network error"));
    return answer;
  };
}"""


def test_an_answer_that_breaks_off_does_not_end_the_following(alice: Page, grid_url: str) -> None:
    alice.goto(grid_url)
    value = alice.locator("tbody tr").first.locator(".input-values dd")
    expect(value).to_have_text("a lighthouse")
    value.evaluate("dd => { dd.textContent = 'as it was before' }")
    alice.evaluate(BREAK_OFF)
    alice.evaluate("document.dispatchEvent(new CustomEvent('grid-done'))")
    expect(alice.locator("body")).to_have_attribute("data-broke-off", "yes")
    expect(value).to_have_text("as it was before")
    alice.evaluate("document.dispatchEvent(new CustomEvent('grid-done'))")
    expect(value).to_have_text("a lighthouse")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_grid_is_accessible_and_fits(alice: Page, grid_url: str, theme: str) -> None:
    alice.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    alice.goto(grid_url)
    problems = findings(alice) + too_wide(alice)
    alice.locator("td[data-cell]").first.click()
    expect(alice.locator(".panel-body")).to_be_visible()
    problems += findings(alice)
    alice.keyboard.press("Escape")
    alice.get_by_role("button", name="Add", exact=True).click()
    expect(alice.get_by_role("heading", name="Add inputs")).to_be_visible()
    problems += findings(alice)
    alice.keyboard.press("Escape")
    alice.set_viewport_size({"width": 360, "height": 740})
    problems += findings(alice) + too_wide(alice)
    alice.set_viewport_size({"width": 1600, "height": 1000})
    assert not problems, "\n".join(problems)
