"""<json-tree> in a real browser: opens on demand, by keyboard, copies, and leaves what is not JSON alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

TOWNS = {
    "towns": [{"name": f"Town {n}", "people": n, "a b": [1, 2]} for n in range(5_000)],
    "big": "BIG",  # stands for a number that JavaScript cannot hold
    "story": "x" * 1_000,
}
MAKE = """async ([text]) => {
  await import("/static/js/json-tree.js");
  const tree = document.createElement("json-tree");
  tree.textContent = text;
  document.querySelector("main").replaceChildren(tree);
}"""


@pytest.fixture
def show(alice: Page) -> Any:
    alice.goto("/")
    alice.wait_for_url("**/t/**")

    def show(text: str) -> Locator:
        alice.evaluate(MAKE, [text])
        return alice.locator("json-tree")

    return show


def test_thousands_of_values_open_on_demand_and_are_reached_by_keyboard(show: Any, alice: Page) -> None:
    tree = show(json.dumps(TOWNS).replace('"BIG"', "12345678901234567890"))
    rows = tree.get_by_role("treeitem")
    expect(rows).to_have_count(4)  # the top, and what is in it
    expect(tree).to_contain_text("12345678901234567890")
    expect(tree).to_contain_text("760 more characters")
    rows.first.focus()
    for key in ("ArrowRight", "ArrowRight"):  # into the towns, and open them
        alice.keyboard.press(key)
    expect(rows).to_have_count(4 + 101)
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowRight", "p"):  # the second town, its first value
        alice.keyboard.press(key)
    expect(alice.get_by_text("Copied $.towns[1].name")).to_be_visible()
    assert alice.evaluate("navigator.clipboard.readText()") == "$.towns[1].name"
    for key in ("ArrowDown", "ArrowDown", "p"):
        alice.keyboard.press(key)
    expect(alice.get_by_text('Copied $.towns[1]["a b"]')).to_be_visible()
    assert alice.evaluate("navigator.clipboard.readText()") == '$.towns[1]["a b"]'
    alice.keyboard.press("c")
    expect(alice.get_by_text("Copied the value")).to_be_visible()
    assert json.loads(alice.evaluate("navigator.clipboard.readText()")) == [1, 2]
    tree.get_by_text("Show 100 more of 4,900").click()
    expect(tree).to_contain_text("Show 100 more of 4,800")
    alice.keyboard.press("Home")
    alice.keyboard.press("ArrowLeft")
    expect(tree.get_by_text("towns")).to_be_hidden()


def test_a_fence_is_taken_off_and_what_is_not_json_is_shown_as_it_is(show: Any) -> None:
    tree = show('```json\n{"a": 1}\n```')
    expect(tree.get_by_role("treeitem")).to_have_count(2)
    tree = show("Oslo, <b>of course</b>")
    expect(tree.locator("pre")).to_have_text("Oslo, <b>of course</b>")
