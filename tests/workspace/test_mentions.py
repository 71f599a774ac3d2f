"""Who is told of a comment: those who are mentioned, and those who are in the thread."""

from __future__ import annotations

import pytest

from jobs.models import Mail
from tests.conftest import browser, joined
from tests.workspace.conftest import HX, comment_on, comments_panel, told
from workspace import mentions
from workspace.models import (
    Comment,
    Notification,
    Role,
    User,
)


def test_a_letter_that_only_resembles_a_name_mentions_nobody(row, team, alice, as_bob) -> None:
    answer = comment_on(as_bob, team, "row", row, "See @al\u0131ce, @alice")
    assert answer.status_code == 200
    assert list(Comment.objects.get().mentioned.all()) == [alice]


class TestMentions:
    def test_whoever_is_mentioned_is_told_with_a_link(self, row, team, alice, bob, as_alice, as_bob) -> None:
        comment_on(as_alice, team, "row", row, "@Bob, is this right?")
        assert told(bob) == [("mention", "Alice mentioned you on Rows, row 12: “@Bob, is this right?”")]
        assert '<span class="mention">@Bob</span>' in comments_panel(as_alice, team, "row", row)
        link = Notification.objects.get().url
        assert link.startswith(f"/t/{team.slug}/data/") and f"comment={Comment.objects.get().pk}" in link
        assert "is this right?" in Mail.objects.get().body

    def test_looking_at_it_reads_it(self, row, team, bob, as_alice, as_bob) -> None:
        comment_on(as_alice, team, "row", row, "@bob look")
        comments_panel(as_bob, team, "row", row)
        assert as_bob.get(f"/t/{team.slug}/notices/count/").json() == {"unread": 0}

    def test_everyone_in_the_thread_hears_of_an_answer_once(self, row, team, alice, bob, as_alice, as_bob) -> None:
        erin = joined(team, "erin@example.com", Role.EDITOR)
        comment_on(as_alice, team, "row", row, "Is this right?")
        thread = Comment.objects.get()
        comment_on(as_bob, team, "row", row, "It is.", under=thread.pk)
        assert told(alice) == [("reply", "Bob answered on Rows, row 12: “It is.”")]
        comment_on(browser(erin), team, "row", row, "@alice no!", under=thread.pk)
        assert [reason for reason, _ in told(alice)] == ["reply", "mention"], "not both for one answer"
        assert [reason for reason, _ in told(bob)] == ["reply"] and told(erin) == []

    def test_someone_who_has_left_the_team_is_not_told(self, row, team, alice, bob, as_alice, as_bob) -> None:
        comment_on(as_bob, team, "row", row, "Mine.")
        thread = Comment.objects.get()
        team.memberships.get(user=bob).end(by=team.memberships.get(user=alice))
        comment_on(as_alice, team, "row", row, "@bob gone?", under=thread.pk)
        assert told(bob) == [] and not Comment.objects.get(parent=thread).mentioned.exists()

    def test_an_edit_tells_only_the_newly_mentioned(self, row, team, bob, dana, as_alice) -> None:
        comment_on(as_alice, team, "row", row, "@bob look")
        comment = Comment.objects.get()
        as_alice.post(f"/t/{team.slug}/comments/{comment.pk}/edit/", {"text": "@bob @dana look"}, headers=HX)
        assert len(told(bob)) == len(told(dana)) == 1

    @pytest.mark.parametrize(
        ("text", "who"),
        [
            ("@Bob Miller hi", ["bob"]),
            ("@bob hi", ["bob"]),
            ("(@BOB)", ["bob"]),
            ("@bob@example.com, and @eve.", ["bob", "eve"]),
            ("@bob.", ["bob"]),
            ("@bobby", []),
            ("@bob.miller", []),
            ("mail bob@bob.example", []),
            ("https://example.com/@bob", []),
            ("@Sam", []),
            ("@sam1@example.com", ["sam1"]),
            ("@@bob", []),
        ],
    )
    def test_who_is_meant(self, text, who) -> None:
        people = [
            User(email="bob@example.com", name="Bob Miller"),
            User(email="eve@example.com", name="Eve"),
            User(email="sam1@example.com", name="Sam"),
            User(email="sam2@example.com", name="Sam"),
        ]
        assert [user.email.partition("@")[0] for user in mentions.found(text, people)] == who

    def test_the_list_offers_a_name_that_means_one_person(self, team, alice, as_alice) -> None:
        joined(team, "sam@one.example", Role.EDITOR)
        joined(team, "sam@two.example", Role.EDITOR)
        offered = as_alice.get(f"/t/{team.slug}/people/").json()["people"]
        assert [person["handle"] for person in offered] == ["Alice", "sam@one.example", "sam@two.example"]
