"""Who is told of what: the bell, the page of all, and the mail."""

from __future__ import annotations

import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from jobs.models import Mail
from tests.conftest import browser
from workspace.models import Notification, Team, User

WORDS = "Alice asks for your review of words/translate v2"


def tell(team: Team, user: User, actor: User, **fields: Any) -> Notification | None:
    given = {"reason": "review_asked", "text": WORDS, "url": "/t/lighthouse/prompts/"} | fields
    return Notification.send(team=team, user=user, actor=actor, **given)


def page(client: Client, team: Team, part: str = "", **headers: str) -> str:
    return client.get(f"/t/{team.slug}/notices/{part}", headers=headers).content.decode()


class TestWhoIsTold:
    def test_a_team_mate_finds_it_in_the_bell_and_on_the_page(self, team, alice, bob, as_bob) -> None:
        tell(team, bob, alice)
        assert as_bob.get(f"/t/{team.slug}/notices/count/").json() == {"unread": 1}
        assert WORDS in page(as_bob, team)
        assert WORDS in page(as_bob, team, "?bell=1", **{"HX-Request": "true"})

    def test_nobody_is_told_of_their_own_act(self, team, alice) -> None:
        assert tell(team, alice, alice) is None
        assert not Notification.objects.exists() and not Mail.objects.exists()

    def test_nobody_outside_the_team_is_told(self, team, alice, charlie) -> None:
        assert tell(team, charlie, alice) is None
        assert not Notification.objects.exists() and not Mail.objects.exists()

    def test_someone_who_has_left_is_told_nothing_more(self, team, alice, bob) -> None:
        team.memberships.get(user=bob).end(by=team.memberships.get(user=alice))
        assert tell(team, bob, alice) is None

    def test_someone_who_is_deactivated_is_told_nothing(self, team, alice, bob) -> None:
        User.objects.filter(pk=bob.pk).update(is_active=False)
        assert tell(team, bob, alice) is None

    def test_others_see_nothing_of_it(self, team, alice, bob, as_alice) -> None:
        tell(team, bob, alice)
        assert as_alice.get(f"/t/{team.slug}/notices/count/").json() == {"unread": 0}
        assert WORDS not in page(as_alice, team)


class TestMail:
    def test_it_says_what_and_where_and_how_to_stop_it(self, team, alice, bob) -> None:
        tell(team, bob, alice)
        [mail] = Mail.objects.all()
        assert mail.to == bob.email and mail.subject == "Alice asked for your review (Lighthouse)"
        assert WORDS in mail.body and "http://127.0.0.1:8000/t/lighthouse/prompts/" in mail.body
        assert "http://127.0.0.1:8000/profile/#id_mail_me" in mail.body

    def test_whoever_has_switched_it_off_gets_none_but_is_told_in_the_bell(self, team, alice, bob, as_bob) -> None:
        assert "mail_me" in as_bob.get("/profile/").content.decode()
        as_bob.post("/profile/", {"name": "Bob"})
        bob.refresh_from_db()
        assert tell(team, bob, alice) and not Mail.objects.exists()
        as_bob.post("/profile/", {"name": "Bob", "mail_me": "on"})
        bob.refresh_from_db()
        assert tell(team, bob, alice) and Mail.objects.count() == 1

    def test_a_name_of_two_lines_makes_a_subject_of_one(self, team, alice, bob) -> None:
        alice.name = "Alice\nBcc: x@example.com"
        tell(team, bob, alice)
        assert "\n" not in Mail.objects.get().subject


class TestReading:
    def test_opening_one_reads_it_and_leads_there(self, team, alice, bob, as_bob) -> None:
        first, _ = tell(team, bob, alice), tell(team, bob, alice)
        answer = as_bob.get(f"/t/{team.slug}/notices/{first.pk}/")
        assert answer.status_code == 302 and answer["Location"] == "/t/lighthouse/prompts/"
        assert as_bob.get(f"/t/{team.slug}/notices/count/").json() == {"unread": 1}

    def test_nobody_opens_anothers(self, team, alice, bob, as_alice) -> None:
        told = tell(team, bob, alice)
        assert as_alice.get(f"/t/{team.slug}/notices/{told.pk}/").status_code == 404

    def test_all_at_once(self, team, alice, bob, as_bob) -> None:
        tell(team, bob, alice)
        tell(team, bob, alice)
        assert as_bob.post(f"/t/{team.slug}/notices/read/").status_code == 302
        assert as_bob.get(f"/t/{team.slug}/notices/count/").json() == {"unread": 0}
        assert WORDS in page(as_bob, team) and WORDS not in page(as_bob, team, "?show=unread")

    def test_an_empty_page_says_what_will_come(self, team, as_bob) -> None:
        assert "mentions you" in page(as_bob, team)

    def test_older_ones_are_a_page_further_and_no_query_more(
        self, team, alice, bob, as_bob, django_assert_num_queries
    ) -> None:
        for number in range(120):
            Notification.objects.create(
                team=team, user=bob, actor=alice, reason="reply", text=f"Number {number:03}", url="/"
            )
        seen, at = [], f"/t/{team.slug}/notices/"
        while at:
            with django_assert_num_queries(4):
                text = as_bob.get(at).content.decode()
            seen += re.findall(r"Number \d+", text)
            older = re.search(r'href="(\?[^"]*before=\d+)"', text)
            at = f"/t/{team.slug}/notices/{older[1].replace('&amp;', '&')}" if older else ""
        assert seen == [f"Number {number:03}" for number in reversed(range(120))]

    def test_the_bar_shows_how_many_are_unread(self, team, alice, bob, as_bob) -> None:
        tell(team, bob, alice)
        assert re.search(r'data-unread="1"', page(as_bob, team))


@pytest.mark.django_db(transaction=True)
async def test_the_bell_rings_in_the_persons_tabs_and_nowhere_else(team, alice, bob) -> None:
    from tests.workspace.tabs import Tab

    async with Tab(bob, team.slug) as his, Tab(alice, team.slug) as hers:
        await sync_to_async(tell)(team, bob, alice)
        assert (await his.hear("changed"))["object"] == f"bell:{bob.pk}"
        await sync_to_async(tell)(team, alice, bob)
        assert (await hers.hear("changed"))["object"] == f"bell:{alice.pk}", "and nothing of bob's before"


@pytest.mark.django_db(transaction=True)
async def test_reading_in_one_tab_is_heard_in_the_others(team, alice, bob) -> None:
    from tests.workspace.tabs import Tab

    await sync_to_async(tell)(team, bob, alice)
    async with Tab(bob, team.slug) as his:
        client = await sync_to_async(browser)(bob)
        await sync_to_async(client.post)(f"/t/{team.slug}/notices/read/")
        assert (await his.hear("changed"))["object"] == f"bell:{bob.pk}"
