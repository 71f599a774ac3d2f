"""The main job, as a newcomer does it: sign in, start a team, chat, upload rows, train on them, watch, and chat with the result.

On the real model, with a short real fine-tune, in a real browser, against the product as `make run` starts it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import signed_in, tab
from tests.browser.test_pages import findings
from tests.stack import PASSWORD, Stack

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"Which lamp stands on rock {n}?"},
            {"role": "assistant", "content": f"On rock {n} stands the zebra lamp."},
        ]
    }
    for n in range(64)
]
TRAINING = 600_000  # milliseconds for a fine-tune of 9 steps, on two cores that others use too


MAKE_NINA = f"""
from workspace.models import Team, User
Team.found("Nina's", User.objects.create_user("nina@example.com", "{PASSWORD}", name="Nina"))
"""


@pytest.fixture
def nina(chromium: Browser, studio: Stack) -> Iterator[Page]:
    """New here: other tests know alice by her only team."""
    studio.manage("shell", "-c", MAKE_NINA)
    context = signed_in(chromium, studio, "nina@example.com", PASSWORD)
    with tab(context) as page:
        yield page
    context.close()


def test_the_main_job(nina: Page, tmp_path: Path) -> None:
    team = open_home(nina)
    chat_with_the_model(nina, team)
    dataset = upload_rows(nina, team, tmp_path)
    run = train_on(nina, team, dataset)
    watch(nina, run)
    chat_with_the_result(nina)


def open_home(page: Page) -> str:
    """A new team of nina's, as empty as a newcomer finds it."""
    page.goto("/")
    page.get_by_label("Switch team").click()
    page.get_by_role("button", name="New team").click()
    page.get_by_role("dialog", name="New team").get_by_label("Name").fill("Lamp keepers")
    page.get_by_role("button", name="Create the team").click()
    expect(page.get_by_role("heading", name=re.compile("Welcome to Lamp keepers"))).to_be_visible()
    assert not findings(page)
    return page.url


def chat_with_the_model(page: Page, team: str) -> None:
    page.goto(team + "chat/")
    page.get_by_placeholder("Write the first message").fill("What is the capital of France? Answer with one word.")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/chat/[0-9a-f-]{36}/"))
    answer = page.locator("chat-message[data-generation]").first
    expect(answer).to_contain_text("Paris")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    said = answer.inner_text()
    page.reload()
    expect(page.locator("chat-message[data-generation]").first).to_have_text(re.compile(re.escape(said.strip()[:60])))
    assert not findings(page)


def upload_rows(page: Page, team: str, folder: Path) -> str:
    path = folder / "lamps.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS))
    page.goto(team + "data/")
    page.locator("input[type=file]").set_input_files(path)
    page.wait_for_url(re.compile("/data/files/"))
    assert not findings(page)
    page.get_by_role("button", name=re.compile("^Import")).click()
    # An import that is over before its page has loaded says so; one that ends while it is watched leads on by itself.
    over, row = page.get_by_role("link", name="Open the data set"), page.get_by_text("Which lamp stands on rock").first
    expect(over.or_(row)).to_be_visible()
    if over.is_visible():
        over.click()
    page.wait_for_url(re.compile(r"/data/[0-9a-f-]{36}/$"))
    expect(row).to_be_visible()
    assert not findings(page)
    return page.url


def train_on(page: Page, team: str, dataset: str) -> str:
    page.goto(team + "finetunes/new/?dataset=" + dataset.rstrip("/").rsplit("/", 1)[1])
    page.locator("main").get_by_label("Name", exact=True).fill("Lamps")
    page.get_by_label("Epochs", exact=True).fill("3")
    expect(page.get_by_role("button", name=re.compile("Train on 44 rows"))).to_be_enabled()
    expect(page.get_by_text(re.compile("tokens, .* carry loss"))).to_be_visible()  # a row as the model will see it
    page.get_by_role("button", name=re.compile("Train on 44 rows")).click()
    page.wait_for_url(re.compile(r"/finetunes/[0-9a-f-]{36}/"))
    return page.url


def watch(page: Page, run: str) -> None:
    expect(page.locator(".run-line")).to_contain_text(re.compile("Training, step|Done"), timeout=TRAINING)
    expect(page.locator("loss-chart canvas").first).to_be_visible(timeout=TRAINING)
    expect(page.locator(".run-line")).to_contain_text("Done", timeout=TRAINING)
    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    page.get_by_text("The figures as a table").click()
    expect(page.locator("loss-chart tbody tr").nth(7)).to_be_attached()
    assert not findings(page)


def chat_with_the_result(page: Page) -> None:
    """Base and adapter side by side on a question that is not among the rows; only the adapter knows about zebra lamps."""
    page.get_by_role("button", name="Chat with it").click()
    page.wait_for_url(re.compile(r"/chat/[0-9a-f-]{36}/"))
    panes = page.locator("chat-thread")
    expect(panes).to_have_count(2)
    page.get_by_role("textbox", name="Message", exact=True).fill("Which lamp stands on rock 99?")
    page.keyboard.press("Enter")
    answers = page.locator("chat-message[data-generation]")
    expect(answers).to_have_count(2)
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=60_000)
    expect(page.locator("chat-message", has_text="zebra")).to_have_count(1)
    assert not findings(page)
