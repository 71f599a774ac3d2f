"""Chat as people use it: together, across reloads and broken lines, with the model's words never more than words."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import signed_in
from tests.browser.test_pages import team_url
from tests.stack import OWNER, PASSWORD, Stack

CHAT = re.compile(r"/chat/[0-9a-f-]{36}/")
LONG = "Write a long story about a lighthouse keeper."  # of 72 answers none ended before 280 tokens
MAKE_BOB = f"""
from workspace.models import Role, Team, User
bob = User.objects.create_user("bob@example.com", "{PASSWORD}", name="Bob Brandt")
Team.objects.get(memberships__user__email="{OWNER}").memberships.create(user=bob, role=Role.EDITOR)
"""


@pytest.fixture(scope="module")
def bob_context(chromium: Browser, studio: Stack) -> Iterator[BrowserContext]:
    studio.manage("shell", "-c", MAKE_BOB)
    context = signed_in(chromium, studio, "bob@example.com", PASSWORD)
    yield context
    context.close()


def start(page: Page, text: str) -> str:
    """Start a chat and wait until its answer streams."""
    page.goto(team_url(page) + "chat/")
    page.get_by_label("First message").fill(text)
    page.keyboard.press("Enter")
    page.wait_for_url(CHAT)
    expect(page.locator("chat-message .md-block").first).to_be_visible()
    return page.url


def text_of(page: Page, which: int = -1) -> str:
    return str(page.evaluate("which => [...document.querySelectorAll('chat-message')].at(which).text", which))


def stop(page: Page) -> None:
    page.keyboard.press("Escape")
    ended(page)


def ended(page: Page) -> None:
    expect(page.locator("chat-message:is([data-state=queued], [data-state=running])")).to_have_count(0)
    expect(page.locator(".turn:is([data-stamp^=queued], [data-stamp^=running])")).to_have_count(0)  # drawn anew
    expect(page.locator("chat-message").last).to_be_visible()


def process(studio: Stack, *words: str) -> int:
    """The id of this stack's process whose command and environment hold these words."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            known = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if str(studio.home).encode() in known and all(word.encode() in known for word in words):
            return int(folder.name)
    raise AssertionError(f"no process with {words}")


def test_reload_second_tab_and_stop_all_show_the_same_answer(alice: Page, alice_context: BrowserContext) -> None:
    url = start(alice, LONG)
    second = alice_context.new_page()
    second.goto(url)
    alice.reload()
    expect(alice.locator("chat-message[data-state=running]")).to_be_visible()
    stop(alice)
    ended(second)
    assert len(text_of(alice)) > 20
    assert text_of(second) == text_of(alice)
    alice.reload()
    assert text_of(alice) == text_of(second), "and it is what was stored"
    second.close()


def test_a_dropped_network_leaves_no_gap_and_keeps_what_was_typed(alice: Page, alice_context: BrowserContext) -> None:
    start(alice, LONG)
    alice_context.set_offline(True)
    try:
        expect(alice.get_by_text("Connection lost")).to_be_visible()
        alice.get_by_label("Message", exact=True).fill("And then?")
    finally:  # the tests that follow share her browser
        alice_context.set_offline(False)
    expect(alice.get_by_text("Connection lost")).to_be_hidden()
    stop(alice)
    shown = text_of(alice)
    alice.reload()
    assert text_of(alice) == shown
    expect(alice.get_by_label("Message", exact=True)).to_have_value("And then?")


def test_team_mates_see_each_other_write_and_the_same_stream(alice: Page, bob_context: BrowserContext) -> None:
    url = start(alice, "Say hello in one short sentence.")
    ended(alice)
    bob = bob_context.new_page()
    bob.goto(url)
    expect(alice.locator("live-people .avatar")).to_have_attribute("title", "Bob Brandt is here")
    bob.get_by_label("Message", exact=True).press_sequentially("Name one colour.")
    expect(alice.locator("live-typing")).to_have_text("Bob Brandt is writing…")
    bob.keyboard.press("Enter")
    expect(alice.locator(".turn-said").last).to_contain_text("Name one colour.")
    expect(alice.locator(".turn-said").last).to_contain_text("Bob Brandt")
    expect(alice.locator("chat-message")).to_have_count(2)
    expect(bob.locator("chat-message")).to_have_count(2)
    ended(alice)
    ended(bob)
    assert text_of(alice) == text_of(bob) != ""
    bob.close()
    expect(alice.locator("live-people")).to_be_hidden()


def test_edit_and_regenerate_make_branches_with_arrows(alice: Page) -> None:
    start(alice, "Name one animal.")
    ended(alice)
    first = text_of(alice)
    alice.get_by_role("button", name="Answer again").click()
    expect(alice.locator(".turn-reply .alternatives")).to_contain_text("2/2")
    ended(alice)
    alice.locator(".turn-reply").get_by_role("button", name="The one before").click()
    expect(alice.locator(".turn-reply .alternatives")).to_contain_text("1/2")
    assert text_of(alice) == first

    alice.get_by_role("button", name="Edit").click()
    alice.get_by_label("Edit the message").fill("Name one plant.")
    alice.keyboard.press("Enter")
    expect(alice.locator(".turn-said .alternatives")).to_contain_text("2/2")
    expect(alice.locator(".said")).to_have_text("Name one plant.")
    ended(alice)
    alice.locator(".turn-said").get_by_role("button", name="The one before").click()
    expect(alice.locator(".said")).to_have_text("Name one animal.")


def test_settings_are_saved_as_they_change_and_team_mates_see_them(alice: Page, bob_context: BrowserContext) -> None:
    url = start(alice, "Hi.")
    ended(alice)
    bob = bob_context.new_page()
    bob.goto(url)
    expect(alice.locator("live-people .avatar")).to_have_attribute(
        "title", "Bob Brandt is here"
    )  # and hears of changes
    for page in (alice, bob):
        page.get_by_text("Parameters", exact=True).click()
    alice.get_by_label("Temperature").fill("3")
    alice.get_by_label("Temperature").press("Tab")
    expect(alice.get_by_text("less than or equal to 2")).to_be_visible()
    expect(alice.get_by_label("Top p")).to_be_focused()
    alice.get_by_label("Temperature").fill("0,5")
    alice.get_by_label("Temperature").press("Tab")
    expect(alice.get_by_text("less than or equal to 2")).to_be_hidden()
    expect(bob.get_by_label("Temperature")).to_have_value("0.5")
    alice.get_by_label("More for this chat").click()
    alice.get_by_role("button", name="Rename").click()
    alice.get_by_role("textbox", name="Name", exact=True).fill("Greetings")
    alice.keyboard.press("Enter")
    expect(alice.get_by_role("heading", name="Greetings")).to_be_visible()
    expect(bob.get_by_role("heading", name="Greetings")).to_be_visible()
    expect(bob.locator(".chat-link", has_text="Greetings")).to_be_visible()
    bob.close()


def test_what_cannot_be_sent_is_explained_and_stays_in_the_box(alice: Page) -> None:
    start(alice, "Hi.")
    ended(alice)
    box = alice.get_by_label("Message", exact=True)
    box.fill("x" * 200_000)
    box.press("Enter")
    expect(alice.get_by_role("alert").first).to_contain_text("200,000 characters; at most 100,000")
    expect(box).to_have_value("x" * 200_000)
    box.fill("")
    box.press("Enter")
    expect(alice.get_by_role("alert").first).to_contain_text("Write something first")
    box.press("ArrowUp")
    expect(box).to_have_value("Hi.")
    expect(alice.locator("chat-message")).to_have_count(1)


def test_a_killed_worker_shows_within_15_seconds_and_the_answer_is_continued(alice: Page, studio: Stack) -> None:
    start(alice, LONG)
    expect(alice.locator("chat-message")).to_contain_text(re.compile(r"\w+ \w+ \w+ \w+"))
    before = text_of(alice)
    os.kill(process(studio, "celery", "STUDIO_WORKER=infer"), signal.SIGKILL)
    expect(alice.locator(".turn-reply .note")).to_be_visible(timeout=15_000)
    assert text_of(alice).startswith(before)
    expect(alice.get_by_role("button", name="Continue")).to_be_visible()
    kept = text_of(alice)
    alice.get_by_role("button", name="Continue").click()
    expect(alice.locator("chat-message[data-state=running]")).to_be_visible(timeout=60_000)
    stop(alice)
    assert text_of(alice).startswith(kept)


def test_a_killed_web_process_does_not_cost_a_word(alice_context: BrowserContext, studio: Stack) -> None:
    page = alice_context.new_page()  # its console speaks of refused connections, rightly
    start(page, LONG)
    with page.expect_websocket():  # it tries again; back within 1.5 s, "Connection lost" is not even said
        os.kill(process(studio, "uvicorn", "llmstudio.asgi"), signal.SIGKILL)
    expect(page.get_by_text("Connection lost")).to_be_hidden(timeout=60_000)
    stop(page)
    shown = text_of(page)
    page.reload()
    assert text_of(page) == shown
    page.close()


def test_without_javascript_the_conversation_can_be_read(alice: Page, chromium: Browser, studio: Stack) -> None:
    url = start(alice, "Say hello.")
    ended(alice)
    session = alice.context.storage_state()
    plain = chromium.new_context(base_url=studio.url, java_script_enabled=False, storage_state=session)
    page = plain.new_page()
    page.goto(url)
    expect(page.get_by_text("need JavaScript")).to_be_visible()
    expect(page.locator("chat-message")).to_contain_text(text_of(alice).split("\n")[0][:20])
    plain.close()


PAYLOADS = [
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '"><svg/onload=window.hacked=1>',
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "[a](javascript:window.hacked=1)",
    "[a](JaVaScRiPt&colon;window.hacked=1)",
    "[a](data:text/html,<script>window.hacked=1</script>)",
    "[a](vbscript:msgbox(1))",
    "<javascript:window.hacked=1>",
    "![a](https://elsewhere.example/p.png?secret)",
    "![a](x\"onerror=\"window.hacked=1)",
    "[a](https://x.example/\"onmouseover=\"window.hacked=1)",
    "`<img src=x onerror=window.hacked=1>`",
    "```\"><img src=x onerror=window.hacked=1>\ncode\n```",
    "```html\n<script>window.hacked=1</script>\n```",
    "| a | <img src=x onerror=window.hacked=1> |\n|---|---|\n| <script>window.hacked=1</script> | [x](javascript:1) |",
    "<style>body{background:url(https://elsewhere.example)}</style>",
    "<form action=https://elsewhere.example><input name=a><button>go</button></form>",
    "<math><mi xlink:href='javascript:window.hacked=1'>x</mi></math>",
    "<a href='jav&#x09;ascript:window.hacked=1'>x</a>",
    "<div style='position:fixed;inset:0' id=main name=body>over</div>",
    "[x]: javascript:window.hacked=1\n\n[x]",
    "<details open ontoggle=window.hacked=1>",
    "<base href=https://elsewhere.example><meta http-equiv=refresh content=0>",
]  # fmt: skip

RENDERER = "performance.getEntriesByType('resource').find((one) => one.name.includes('/markdown')).name"

# Shows each text letter by letter as a stream would, and at once as history does.
RENDER = """async ([address, texts]) => {
  const { show } = await import(address);
  const risky = (box) => [...box.querySelectorAll("*")].flatMap((element) => [
    ...[element.tagName].filter((tag) => /^(SCRIPT|IMG|SVG|IFRAME|STYLE|FORM|MATH|BASE|META|DETAILS)$/i.test(tag)),
    ...[...element.attributes]
      .filter((a) => /^on|^(style|id|name|srcdoc)$/i.test(a.name) || /^\\s*(javascript|data|vbscript):/i.test(a.value))
      .map((a) => `${element.tagName} ${a.name}=${a.value}`),
  ]);
  const found = [];
  for (const text of texts) {
    const streamed = document.body.appendChild(document.createElement("div"));
    for (let end = 1; end <= text.length; end++) {
      show(streamed, text.slice(0, end));
      found.push(...risky(streamed));
    }
    const whole = document.createElement("div");
    show(whole, text);
    if (whole.innerHTML !== streamed.innerHTML) found.push(`streamed differs: ${text}`);
    for (const link of whole.querySelectorAll("a"))
      if (!/^(https?|mailto):/.test(link.href) || link.rel !== "noopener noreferrer") found.push(link.outerHTML);
    streamed.remove();
  }
  return found;
}"""


def test_what_a_model_says_is_never_more_than_text(alice: Page) -> None:
    """Every payload alone, in prose, in a list and in a quote, at every cut of the stream: nothing runs or leaves."""
    asked: list[str] = []
    alice.on("request", lambda request: asked.append(request.url))
    start(alice, "Hi.")
    ended(alice)
    shapes = ("{}", "before {} after", "- one\n- {}", "> {}\n\nend")
    texts = [shape.format(text) for text in PAYLOADS for shape in shapes]
    address = alice.evaluate(RENDERER)
    assert alice.evaluate(RENDER, [address, texts]) == []
    assert alice.evaluate("window.hacked") is None
    assert not [url for url in asked if "elsewhere.example" in url]


def test_tables_lists_and_code_are_drawn(alice: Page) -> None:
    start(alice, "Hi.")
    ended(alice)
    text = "# Title\n\n| a | b |\n|--|--:|\n| 1 | 2 |\n\n- [x] done\n- open\n\n```python\nprint('x')\n```"
    draw = "async ([address, text]) => (await import(address)).show(document.querySelector('.md'), text)"
    alice.evaluate(draw, [alice.evaluate(RENDERER), text])
    answer = alice.locator(".md").first
    expect(answer.get_by_role("heading", name="Title")).to_be_visible()
    expect(answer.get_by_role("cell", name="2")).to_have_attribute("align", "right")
    expect(answer.get_by_role("checkbox").first).to_be_checked()
    answer.get_by_role("button", name="Copy").click()
    expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    assert alice.evaluate("navigator.clipboard.readText()") == "print('x')\n"
