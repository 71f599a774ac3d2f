"""Writing in chat with / @ and #, and saying what one thinks of the answer: by keyboard, on the real model."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.test_chat import CHAT, ended, start, text_of
from tests.browser.test_pages import team_url
from tests.stack import OWNER, Stack

MAKE_PROMPT = f"""
from workspace.models import Prompt, Team, User
owner = User.objects.get(email="{OWNER}")
Prompt.start(
    team=Team.objects.get(memberships__user=owner), author=owner, name="words/antonym",
    messages=[{{"role": "system", "content": "Answer in one word."}},
              {{"role": "user", "content": "The opposite of {{{{word}}}}?"}}],
    variables=[{{"name": "word"}}, ],
)
"""


def attached(page: Page, name: str) -> Locator:
    """The file as the server keeps it; until it has been read, its chip has no such mark and a reload would lose it."""
    return page.locator(".composer-box [data-attachment]", has_text=name)


def test_a_prompt_a_file_and_an_opinion(alice_context: BrowserContext, studio: Stack) -> None:
    studio.manage("shell", "-c", MAKE_PROMPT)
    alice = alice_context.new_page()  # its console speaks of a form that was refused, rightly
    start(alice, "Hi.")
    ended(alice)
    box = alice.get_by_label("Message", exact=True)

    # / by keyboard: search, choose, miss a value, fill it in
    box.press_sequentially("/anto")
    expect(alice.get_by_role("option", name="antonym")).to_have_attribute("aria-selected", "true")
    box.press("Enter")
    form = alice.get_by_role("dialog", name="words/antonym")
    form.get_by_role("button", name="Insert").click()
    expect(form.get_by_text("No value was given for word.")).to_be_visible()
    form.get_by_label("word", exact=True).fill("hot")
    form.get_by_label("word", exact=True).press("Enter")
    expect(box).to_have_value("The opposite of hot?")
    expect(alice.get_by_label("System prompt")).to_have_value("Answer in one word.")
    alice.get_by_role("button", name="Undo").click()
    expect(alice.get_by_label("System prompt")).to_have_value("")

    # @ lists who can answer, Esc closes and leaves the words
    box.press_sequentially(" @smol")
    expect(alice.get_by_role("option").filter(has_text="answers now")).to_be_visible()
    box.press("Escape")
    expect(alice.locator(".picker")).to_be_hidden()
    for _ in " @smol":
        box.press("Backspace")

    # # brings in a file; one that is too long is said before it is sent, and cut
    box.press_sequentially(" #")
    expect(alice.get_by_role("option", name="Upload a file")).to_be_visible()
    with alice.expect_file_chooser() as chooser:
        box.press("Enter")
    chooser.value.set_files({"name": "weather.txt", "mimeType": "text/plain", "buffer": b"It was cold. " * 9000})
    expect(attached(alice, "weather.txt")).to_be_visible()
    expect(alice.get_by_text("weather.txt has about")).to_be_visible()
    box.press("Enter")
    expect(alice.get_by_role("alert").first).to_contain_text("more than the model can read")
    alice.get_by_role("button", name="Cut to fit").click()
    expect(alice.get_by_text("cut to its first")).to_be_visible()
    expect(alice.get_by_text("weather.txt has about")).to_be_hidden()
    alice.get_by_role("button", name="Remove weather.txt").click()
    expect(attached(alice, "weather.txt")).to_have_count(0)
    alice.locator("chat-composer input[type=file]").set_input_files(
        {"name": "weather.md", "mimeType": "text/markdown", "buffer": b"It was cold."}
    )
    expect(attached(alice, "weather.md")).to_be_visible()
    alice.reload()
    expect(alice.locator(".composer-box [data-attachment]")).to_have_count(2)
    other = alice_context.new_page()
    other.goto(alice.url)
    box.press("Enter")
    said = alice.locator(".turn-said").last
    expect(said).to_contain_text("The opposite of hot?")
    expect(said.get_by_role("link", name="weather.md")).to_be_visible()
    expect(said.get_by_role("link", name="words/antonym v1")).to_be_visible()
    expect(alice.locator(".composer-box [data-attachment]")).to_have_count(0)
    ended(alice)

    # thumbs, reasons and a correction, seen in another tab at once
    expect(other.locator(".turn-said").last).to_contain_text("The opposite of hot?")
    reply = alice.locator(".turn-reply").last
    reply.get_by_role("button", name="Bad").click()
    reply.get_by_label("Not correct").check()
    reply.get_by_role("button", name="Save").click()
    expect(other.locator(".turn-reply").last.locator(".feedback-said")).to_contain_text("Not correct")
    original = text_of(alice)
    reply.get_by_role("button", name="Correct", exact=True).click()
    reply.get_by_label("Your correction").fill("Cold.")
    reply.get_by_role("button", name="Save the correction").click()
    expect(reply.locator(".correction-text")).to_have_text("Cold.")
    expect(reply.locator("chat-message")).to_be_hidden()
    expect(other.locator(".turn-reply").last.locator(".correction-text")).to_have_text("Cold.")
    reply.get_by_role("button", name="Changes").click()
    expect(reply.locator("ins").first).to_be_visible()
    reply.get_by_role("button", name="Original").click()
    expect(reply.locator("chat-message")).to_be_visible()
    assert text_of(alice) == original
    other.close()

    # and the chat becomes a prompt
    alice.get_by_label("More for this chat").click()
    alice.get_by_role("button", name="Turn into a prompt").click()
    alice.get_by_role("textbox", name="Name", exact=True).fill("from/chat")
    alice.keyboard.press("Enter")
    alice.wait_for_url("**/prompts/**")
    expect(alice.locator("a[href$='?folder=from']")).to_be_visible()
    expect(alice.get_by_role("heading", name="chat", level=1)).to_be_visible()
    alice.close()


def test_a_new_chat_starts_with_a_prompt_or_a_file(alice: Page) -> None:
    base = team_url(alice)
    alice.goto(base + "chat/")
    box = alice.get_by_label("First message")
    box.fill("Look: ")
    alice.locator("chat-composer input[type=file]").set_input_files(
        {"name": "a.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2"}
    )
    alice.wait_for_url(CHAT)
    expect(attached(alice, "a.csv")).to_be_visible()
    expect(alice.get_by_label("Message", exact=True)).to_have_value("Look: ")
