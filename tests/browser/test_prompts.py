"""Writing a prompt as people do: variables appear as one types, a reload loses nothing, and two saves are brought together."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import held
from tests.browser.test_pages import findings, team_url, too_wide


@pytest.fixture
def writer(alice_context: BrowserContext) -> Iterator[Page]:
    """A tab of alice's. Errors in its console fail the test, but for the browser's own word on refused saves."""
    page = alice_context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert not [problem for problem in problems if "status of 409" not in problem and "status of 422" not in problem], (
        problems
    )


def boxes(page: Page) -> list[str]:
    return [box.input_value() for box in page.locator(".message-row textarea[name=content]").all()]


def holds(page: Page, at: int, text: str | re.Pattern[str]) -> None:
    expect(page.locator(".message-row textarea[name=content]").nth(at)).to_have_value(text)


def write(page: Page, at: int, text: str) -> None:
    page.locator(".message-row textarea[name=content]").nth(at).fill(text)


def started(page: Page) -> str:
    """A prompt with a choice and a long text, saved; its address."""
    page.goto(team_url(page) + "prompts/new/")
    page.locator("#id_name").fill("support/answer")
    write(page, 0, "Be {{tone}} and brief.")
    write(page, 1, "A customer writes: {{letter}}")
    page.locator(".variable", has_text="tone").locator("summary").click()
    page.get_by_label("Type").first.select_option("choice")
    page.get_by_label("Choices, one a line").first.fill("warm\ncool")
    expect(page.locator("#values select[name=v-tone]")).to_be_visible()
    page.locator("[name=v-tone]").select_option("cool")
    page.locator("[name=v-letter]").fill("Where is my {{cake}}?")
    expect(page.locator("#prompt-preview")).to_contain_text("Be cool and brief.")
    expect(page.locator("#prompt-preview")).to_contain_text("A customer writes: Where is my {{cake}}?")
    expect(page.locator("#prompt-tokens")).to_contain_text(re.compile(r"Whole prompt\s*[1-9]\d* tokens"))
    page.reload()
    expect(page.get_by_text("What you had typed here is back")).to_be_visible()
    assert boxes(page) == ["Be {{tone}} and brief.", "A customer writes: {{letter}}"]
    page.keyboard.press("Control+s")
    page.wait_for_url(re.compile(r"/prompts/[0-9a-f-]{36}/$"))
    return page.url


def test_a_prompt_is_written_reordered_saved_and_merged(writer: Page, alice_context: BrowserContext) -> None:
    url = started(writer)
    expect(writer.get_by_text("choice, required")).to_be_visible()

    writer.get_by_text("Model and sampling").click()
    writer.get_by_label("Temperature").fill("hot")
    writer.keyboard.press("Control+s")
    expect(writer.locator("#prompt-problems .errors")).to_be_focused()
    expect(writer.locator(".field", has=writer.get_by_label("Temperature"))).to_contain_text("Write a number")
    writer.get_by_label("Temperature").fill("")

    writer.get_by_role("button", name="History placeholder").click()
    writer.keyboard.press("Alt+ArrowUp")
    holds(writer, 1, "history")
    writer.locator(".grip").nth(1).drag_to(writer.locator(".message-row").nth(2), target_position={"x": 60, "y": 90})
    holds(writer, 2, "history")
    writer.get_by_role("button", name="Remove this message").nth(2).click()
    assert len(boxes(writer)) == 2
    write(writer, 1, "A customer writes: {{letter}} Answer in French.")

    other = alice_context.new_page()
    other.goto(url)
    write(other, 1, "A customer writes: {{letter}} Answer in German.")
    other.get_by_label("What changed").fill("German")
    other.keyboard.press("Control+s")
    expect(other.get_by_text("Saved as version 2.")).to_be_visible()
    other.close()

    writer.bring_to_front()
    expect(writer.locator("#prompt-news")).to_contain_text("saved version 2")
    assert "French" in boxes(writer)[1]
    answers = []
    writer.on("response", lambda response: answers.append(response.status))
    writer.get_by_role("button", name="Save version 2").click()
    expect(writer.locator("prompt-editor[data-merging]")).to_be_visible()
    assert 409 in answers
    expect(writer.locator(".merge-conflict del")).to_have_text("German")
    assert not findings(writer) + too_wide(writer)
    assert boxes(writer)[1].endswith("Answer in French.")
    writer.locator(".merge-row").get_by_role("button", name="Theirs").click()
    assert boxes(writer)[1].endswith("Answer in German.")
    writer.locator(".merge-row").get_by_role("button", name="Mine").click()
    writer.get_by_role("button", name="Save the merge as version 3").click()
    expect(writer.get_by_text("Saved as version 3.")).to_be_visible()
    holds(writer, 1, re.compile(r"Answer in French\.$"))


def test_what_is_typed_while_a_save_is_on_its_way_is_there_afterwards(alice: Page) -> None:
    alice.goto(team_url(alice) + "prompts/new/")
    alice.locator("#id_name").fill("typed/on")
    write(alice, 1, "Translate {{text}}.")
    with held(alice, "/prompts/new/$"):
        alice.keyboard.press("Control+s")
        expect(alice.locator("body[data-held]")).to_have_count(1)
        write(alice, 1, "Translate {{text}}. Keep names as they are.")
    alice.wait_for_url(re.compile(r"/prompts/[0-9a-f-]{36}/$"))
    expect(alice.get_by_text("What you had typed here is back")).to_be_visible()
    assert boxes(alice)[1] == "Translate {{text}}. Keep names as they are."
    alice.keyboard.press("Control+s")
    expect(alice.get_by_text("Saved as version 2.")).to_be_visible()
    expect(alice.get_by_text("What you had typed here is back")).to_be_hidden()


def test_a_paste_that_is_too_long_stays_in_the_box(alice: Page) -> None:
    alice.goto(team_url(alice) + "prompts/new/")
    alice.locator("#id_name").fill("too/long")
    alice.locator(".message-row textarea[name=content]").first.evaluate("box => { box.value = 'x'.repeat(5e6) }")
    alice.keyboard.press("Control+s")
    expect(alice.locator("#prompt-problems")).to_contain_text("at most 1,000,000 characters; this one has 5,000,000")
    assert len(boxes(alice)[0]) == 5_000_000
    alice.evaluate("localStorage.clear()")
