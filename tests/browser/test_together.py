"""Two people, two browsers: a mention rings at once, is answered and resolved, and each sees where the other is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import signed_in, tab
from tests.browser.test_pages import findings, team_url, too_wide
from tests.stack import OWNER, PASSWORD, Stack

MAKE_BOB = f"""
from workspace.models import Membership, Role, Team, User
bob = User.objects.create_user("bob.miller@example.com", {PASSWORD!r}, name="Bob Miller")
Membership.objects.create(team=Team.objects.get(memberships__user__email="{OWNER}"), user=bob, role=Role.EDITOR)
"""


@pytest.fixture
def bob(chromium: Browser, studio: Stack) -> Iterator[Page]:
    studio.manage("shell", "-c", MAKE_BOB)
    context = signed_in(chromium, studio, "bob.miller@example.com", PASSWORD)
    with tab(context) as page:
        yield page
    context.close()


def test_a_mention_rings_is_answered_and_resolved(alice: Page, bob: Page) -> None:
    team = team_url(alice)
    bob.goto(team + "models/")
    alice.goto(team + "data/")
    alice.locator("main a[href*='/data/']").first.click()
    alice.wait_for_url(re.compile(r"/data/[0-9a-f-]{36}/$"))
    expect(bob.get_by_role("link", name="Data").get_by_role("img", name="alice")).to_be_visible()  # on bob's rail

    # alice writes with the keyboard alone, once the panel is open
    alice.locator("tr[data-position='2'] [data-comments]").click()
    panel = alice.get_by_role("dialog", name="Comments")
    expect(panel.get_by_label("Comment", exact=True)).to_be_focused()
    alice.keyboard.type("@mil")
    expect(alice.get_by_role("option", name="Bob Miller")).to_be_visible()
    alice.keyboard.press("Enter")
    alice.keyboard.type("is this right?")
    expect(panel.get_by_label("Comment", exact=True)).to_have_value("@Bob Miller is this right?")
    alice.keyboard.press("Control+Enter")
    thread = panel.get_by_role("article")
    expect(thread).to_contain_text("@Bob Miller is this right?")
    expect(panel.get_by_label("Comment", exact=True)).to_have_value("")
    expect(alice.locator("tr[data-position='2'] [data-comments]")).to_have_accessible_name("Comments: 1 open")
    assert not findings(alice) and not too_wide(alice)

    # bob's bell rings without a reload
    expect(bob).to_have_title(re.compile(r"^\(1\) "))
    bob.locator("notice-bell summary").focus()
    bob.keyboard.press("Enter")
    notice = bob.get_by_role("link", name=re.compile("mentioned you on .*row 3"))
    expect(notice).to_be_visible()
    assert not findings(bob)
    notice.click()
    his = bob.get_by_role("dialog", name="Comments")
    expect(his.locator(".comment-said")).to_contain_text("is this right?")
    expect(bob).to_have_title(re.compile(r"^(?!\()"))  # seen is read
    his.get_by_text("Reply", exact=True).first.click()
    bob.keyboard.type("It is.")
    bob.keyboard.press("Control+Enter")
    expect(thread).to_contain_text("It is.")  # in alice's open panel

    # what alice is typing stays while others write
    alice.get_by_label("Comment", exact=True).fill("half a thought")
    his.get_by_role("button", name="Resolve", exact=True).click()
    expect(panel.get_by_role("button", name="Resolved 1")).to_be_visible()
    expect(thread).to_have_count(0)
    expect(alice.get_by_label("Comment", exact=True)).to_have_value("half a thought")
    expect(alice.locator("tr[data-position='2'] [data-comments]")).to_have_accessible_name("Comments")

    # sent by the button, the keyboard stays in the panel; Esc leaves it
    panel.get_by_role("button", name="Comment", exact=True).click()
    expect(panel.get_by_label("Comment", exact=True)).to_have_value("")
    expect(panel.get_by_label("Comment", exact=True)).to_be_focused()
    alice.keyboard.press("Escape")
    expect(panel).to_be_hidden()

    alice.set_viewport_size({"width": 360, "height": 740})
    assert not findings(alice) and not too_wide(alice)
    alice.goto(team + "activity/")
    expect(alice.get_by_text(re.compile("Bob Miller answered a comment on"))).to_be_visible()
