"""Takes the pictures in docs/screenshots from the running product, so that they are never older than it.

    python -m docs.screenshots [--epochs 1] [--rooms home chat prompts finetunes]

Starts a studio of its own on the real model, chats, fills a small prompt workspace and runs its playground, runs a short
fine-tune on the demo data set, and looks at each page.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.browser.chromium import find
from tests.browser.conftest import FLAGS, signed_in
from tests.browser.objects import make_objects
from tests.stack import OWNER, PASSWORD, running

FOLDER = Path(__file__).parent / "screenshots"
QUESTION = "Give me three tips for writing clear release notes. Use a numbered list."
LETTER = "My parcel was due on Monday and is not here. Order 1182. Can you look?"
TRAINING = 30 * 60_000  # milliseconds
ROOMS = ["home", "chat", "prompts", "finetunes"]


def take(
    context: BrowserContext,
    name: str,
    url: str,
    *,
    width: int = 1440,
    height: int = 900,
    before: Callable[[Page], object] | None = None,
) -> None:
    """The page in both themes, after what is done on it `before`."""
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": height})
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        page.goto(url)
        page.wait_for_load_state("networkidle")
        if before:
            before(page)
            page.wait_for_load_state("networkidle")
        page.screenshot(path=FOLDER / f"{name}-{theme}.png", caret="initial")
    page.close()


def chat(context: BrowserContext, team: str) -> str:
    page = context.new_page()
    page.goto(team + "chat/")
    page.get_by_placeholder("Write the first message").fill(QUESTION)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/chat/[0-9a-f-]{36}/"))
    page.locator("chat-message[data-state=succeeded]").first.wait_for(timeout=120_000)
    url = page.url
    page.close()
    return url


def prompts(context: BrowserContext, team: str, made: dict[str, str]) -> None:
    """The workspace of a small support team: its grid is run, then each room is looked at."""
    page = context.new_page()
    page.goto(made["grid"])
    page.keyboard.press("Control+Enter")
    page.locator("td[data-state=succeeded]").nth(8).wait_for(timeout=120_000)
    page.close()

    def fill_in(page: Page) -> None:
        page.locator("[name=v-letter]").fill(LETTER)
        page.locator("#prompt-preview", has_text=LETTER).wait_for()

    take(context, "library", team + "prompts/")
    take(context, "prompt", made["prompt"], height=1100, before=fill_in)
    take(context, "prompt-phone", made["version"], width=360, height=740)
    take(context, "few-shot", made["set"], height=1100)
    take(context, "playground", made["grid"], width=1600)


def train(context: BrowserContext, team: str, epochs: str) -> str:
    page = context.new_page()
    page.goto(team + "finetunes/new/")
    page.locator("main").get_by_label("Name", exact=True).fill("French interface strings")
    page.get_by_label("Epochs", exact=True).fill(epochs)
    page.get_by_role("button", name=re.compile("Train on")).click()
    page.wait_for_url(re.compile(r"/finetunes/[0-9a-f-]{36}/"))
    page.get_by_text(re.compile("Training, step [1-9]")).wait_for(timeout=TRAINING)
    page.locator("tbody tr", has_text=re.compile(r"\d")).first.wait_for(state="attached")
    page.get_by_role("heading", name="Result").wait_for(timeout=TRAINING)
    url = page.url
    page.close()
    return url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", default="1", help="of the demo fine-tune that is shown")
    parser.add_argument(
        "--rooms", nargs="+", choices=ROOMS, default=ROOMS, help="only these (a fine-tune takes minutes)"
    )
    asked = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with running() as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
        try:
            context = signed_in(browser, stack, OWNER, PASSWORD)
            page = context.new_page()
            page.goto("/")
            team = page.url
            page.close()
            if "home" in asked.rooms:
                take(context, "home", team)
                take(context, "data", team + "data/")
            if "chat" in asked.rooms:
                talk = chat(context, team)
                take(context, "chat", talk)
                take(context, "chat-phone", talk, width=360, height=740)
            if "prompts" in asked.rooms:
                prompts(context, team, make_objects(stack))
            if "finetunes" in asked.rooms:
                take(context, "finetune-new", team + "finetunes/new/")
                run = train(context, team, asked.epochs)
                take(context, "finetune", run, height=1200)
                take(context, "models", team + "models/")
        finally:
            browser.close()


if __name__ == "__main__":
    main()
