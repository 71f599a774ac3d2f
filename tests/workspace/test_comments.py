"""Comments: where they hang, who may do what with them, and what a page pays for showing them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.template import Context, Template
from django.test import Client

from llmstudio.policy import ANNOTATOR
from tests.conftest import browser, joined
from tests.workspace.conftest import HX, comment_on, comments_panel, comments_url, told
from workspace import anchors, mentions
from workspace.models import (
    Activity,
    Comment,
    Grid,
    GridCell,
    GridColumn,
    GridInput,
    Membership,
    Notification,
    Role,
    Team,
)


@pytest.fixture
def version(prompt):
    return prompt.versions.get()


@pytest.fixture
def said(chat, alice):
    chat.send(alice, "Hello", parent=None, client_id="a" * 16)
    return chat.messages.get(role="user")


@pytest.fixture
def cell(team, alice, base):
    grid = Grid.objects.create(team=team, author=alice, name="Comparison", blind=True)
    column = GridColumn.objects.create(grid=grid, position=0, label="The secret one", model=base)
    line = GridInput.objects.create(grid=grid, position=2)
    return GridCell.objects.create(column=column, input=line, run=1, problem="No value for word.")


@pytest.fixture
def example(example_set):
    return example_set.newest.ordered()[0]


class TestWhereTheyHang:
    @pytest.mark.parametrize("kind", Comment.Kind.values)
    def test_on_every_kind_of_object(self, kind, version, said, cell, row, example, team, as_bob, as_alice) -> None:
        things = {"prompt_version": version, "message": said, "cell": cell, "row": row, "example": example}
        assert comment_on(as_bob, team, kind, things[kind], "Is this right?").status_code == 200
        assert "Is this right?" in comments_panel(as_alice, team, kind, things[kind])
        comment = Comment.objects.get()
        link = as_alice.get(f"/t/{team.slug}/comments/{comment.pk}/")["Location"]
        assert f"comment={comment.pk}" in link
        assert as_alice.get(link.partition("#")[0]).status_code == 200, "its page is there"

    @pytest.mark.parametrize("kind", Comment.Kind.values)
    def test_what_is_another_teams_is_not_there(
        self, kind, version, said, cell, row, example, team, as_charlie, other_team
    ) -> None:
        things = {"prompt_version": version, "message": said, "cell": cell, "row": row, "example": example}
        assert as_charlie.get(comments_url(other_team, kind, things[kind]), headers=HX).status_code == 404
        assert comment_on(as_charlie, other_team, kind, things[kind], "Hi").status_code == 404
        assert not Comment.objects.exists()

    @pytest.mark.parametrize(
        "address", ["row/x", "row/99999999999999999999999", "message/1", "user/1", "cell/00000000-0000-0000-0000-0000"]
    )
    def test_nonsense_is_not_there(self, address, team, as_bob) -> None:
        assert as_bob.get(f"/t/{team.slug}/comments/on/{address}/", headers=HX).status_code == 404

    def test_on_one_message_of_a_version(self, version, team, as_bob) -> None:
        comment_on(as_bob, team, "prompt_version", version, "Shorter?", part=0)
        comment_on(as_bob, team, "prompt_version", version, "Good work.")
        whole = comments_panel(as_bob, team, "prompt_version", version)
        assert "Shorter?" in whole and "Message 1" in whole and "Good work." in whole
        part = as_bob.get(comments_url(team, "prompt_version", version, 0), headers=HX).content.decode()
        assert "Shorter?" in part and "Good work." not in part
        assert as_bob.get(comments_url(team, "prompt_version", version, 1), headers=HX).status_code == 404, (
            "it has one message"
        )

    def test_a_blind_cell_is_named_without_its_column(self, cell, team, as_bob) -> None:
        comment_on(as_bob, team, "cell", cell, "Better.")
        page = comments_panel(as_bob, team, "cell", cell)
        assert "Comparison, an answer to input 3" in page and "secret" not in page


class TestThreads:
    @pytest.fixture
    def thread(self, row, team, as_alice) -> Comment:
        comment_on(as_alice, team, "row", row, "Is this right?")
        return Comment.objects.get()

    def act(self, client: Client, team: Team, comment: Comment, what: str, **fields: Any) -> int:
        return client.post(f"/t/{team.slug}/comments/{comment.pk}/{what}/", fields, headers=HX).status_code

    def test_an_answer_stands_under_what_it_answers(self, thread, row, team, as_bob, as_alice) -> None:
        comment_on(as_bob, team, "row", row, "It is.", under=thread.pk)
        answer = Comment.objects.get(parent=thread)
        comment_on(as_alice, team, "row", row, "Thanks.", under=answer.pk)
        assert [reply.text for reply in thread.replies.all()] == ["It is.", "Thanks."]
        page = comments_panel(as_bob, team, "row", row)
        assert page.index("Is this right?") < page.index("It is.") < page.index("Thanks.")

    def test_an_answer_to_another_objects_thread_finds_nothing(self, thread, version, team, as_bob) -> None:
        assert comment_on(as_bob, team, "prompt_version", version, "Hi", under=thread.pk).status_code == 404
        assert comment_on(as_bob, team, "prompt_version", version, "Hi", under="x").status_code == 404

    def test_its_author_edits_it_and_others_see_that(self, thread, row, team, as_alice, as_bob) -> None:
        assert self.act(as_alice, team, thread, "edit", text="Is this wrong?") == 200
        page = comments_panel(as_bob, team, "row", row)
        assert "Is this wrong?" in page and "(edited)" in page and "Is this right?" not in page

    def test_nobody_edits_anothers_words(self, thread, team, as_bob) -> None:
        assert self.act(as_bob, team, thread, "edit", text="No") == 403
        thread.refresh_from_db()
        assert thread.text == "Is this right?"

    def test_its_author_deletes_it(self, thread, row, team, as_alice) -> None:
        assert self.act(as_alice, team, thread, "delete") == 200
        assert not Comment.objects.exists()

    def test_a_team_mate_does_not_and_an_admin_does(self, row, team, as_bob, as_alice) -> None:
        erin = joined(team, "erin@example.com", Role.EDITOR)
        comment_on(as_bob, team, "row", row, "Rude words")
        comment = Comment.objects.get()
        assert self.act(browser(erin), team, comment, "delete") == 403
        assert self.act(as_alice, team, comment, "delete") == 200
        assert not Comment.objects.exists()

    def test_where_others_have_answered_deleted_stays_until_the_last_answer_goes(
        self, thread, row, team, as_alice, as_bob
    ) -> None:
        comment_on(as_bob, team, "row", row, "It is.", under=thread.pk)
        self.act(as_alice, team, thread, "delete")
        page = comments_panel(as_bob, team, "row", row)
        assert "Is this right?" not in page and "deleted" in page and "It is." in page
        self.act(as_bob, team, Comment.objects.get(parent=thread), "delete")
        assert not Comment.objects.exists()

    def test_what_is_deleted_is_gone_from_the_bell_too(self, row, team, bob, as_alice) -> None:
        comment_on(as_alice, team, "row", row, "@bob a secret")
        assert told(bob)
        self.act(as_alice, team, Comment.objects.get(), "delete")
        assert not told(bob)

    def test_resolved_it_moves_out_of_sight_and_back(self, thread, row, team, as_bob, as_alice) -> None:
        assert self.act(as_bob, team, thread, "resolve") == 200
        assert "Is this right?" not in comments_panel(as_alice, team, "row", row)
        page = comments_panel(as_alice, team, "row", row, "resolved")
        assert "Is this right?" in page and "Resolved by Bob" in page
        self.act(as_alice, team, thread, "resolve", undo="1")
        assert "Is this right?" in comments_panel(as_alice, team, "row", row)

    def test_an_answer_opens_it_again(self, thread, row, team, as_bob) -> None:
        self.act(as_bob, team, thread, "resolve")
        comment_on(as_bob, team, "row", row, "Wait.", under=thread.pk)
        thread.refresh_from_db()
        assert thread.resolved_at is None

    def test_a_link_to_a_resolved_comment_shows_it(self, thread, team, as_bob) -> None:
        self.act(as_bob, team, thread, "resolve")
        page = as_bob.get(f"/t/{team.slug}/comments/{thread.pk}/", headers=HX).content.decode()
        assert "Is this right?" in page and f'data-said="{thread.pk}"' in page

    def test_a_viewer_reads_along(self, thread, row, team, as_dana) -> None:
        page = comments_panel(as_dana, team, "row", row)
        assert "Is this right?" in page and "<form" not in page and "annotator" in page
        assert comment_on(as_dana, team, "row", row, "Hi").status_code == 403

    def test_an_annotator_comments(self, row, team, dana, as_dana) -> None:
        Membership.objects.filter(user=dana).update(role=ANNOTATOR)
        assert comment_on(as_dana, team, "row", row, "Hi").status_code == 200


class TestBadInput:
    @pytest.mark.parametrize(
        ("text", "why"), [("  \n ", "empty"), ("x" * 10_001, "10,000 characters; this one has 10,001")]
    )
    def test_is_refused_with_the_reason_where_it_was_typed(self, text, why, row, team, as_bob) -> None:
        answer = comment_on(as_bob, team, "row", row, text)
        assert answer.status_code == 422 and why in answer.content.decode()
        assert not Comment.objects.exists()

    def test_a_nul_is_left_out(self, row, team, as_bob) -> None:
        comment_on(as_bob, team, "row", row, "a\x00b")
        assert Comment.objects.get().text == "ab"

    def test_somebody_who_floods_is_asked_to_wait(self, row, team, as_bob, monkeypatch) -> None:
        monkeypatch.setattr("workspace.views.comments.A_MINUTE", 2)
        codes = [comment_on(as_bob, team, "row", row, f"Number {number}").status_code for number in range(3)]
        assert codes == [200, 200, 429] and Comment.objects.count() == 2

    def test_a_comment_calls_only_so_many(self, row, team, as_bob, monkeypatch) -> None:
        monkeypatch.setattr(mentions, "MOST", 1)
        assert "at most 1 people" in comment_on(as_bob, team, "row", row, "@alice @bob").content.decode()
        assert not Comment.objects.exists() and not Notification.objects.exists()

    def test_markup_is_shown_and_not_obeyed(self, row, team, as_bob) -> None:
        comment_on(as_bob, team, "row", row, "<script>alert(1)</script> <b>x</b> {{ 7 }} javascript:alert(1)")
        page = comments_panel(as_bob, team, "row", row)
        assert "<script>alert" not in page and "&lt;script&gt;" in page and "{{ 7 }}" in page
        assert 'href="javascript' not in page

    def test_a_link_is_a_link(self, row, team, as_bob) -> None:
        comment_on(as_bob, team, "row", row, 'See https://example.com/a?b="c"&d')
        assert re.search(
            r'<a href="https://example\.com/a\?b=[^<>"]*" rel="nofollow">', comments_panel(as_bob, team, "row", row)
        )


class TestButtons:
    def show(self, team: Team, template: str, **names: Any) -> str:
        return Template("{% load together %}" + template).render(Context({"team": team, **names}))

    def test_it_says_how_many_threads_are_open(self, row, team, as_alice) -> None:
        comment_on(as_alice, team, "row", row, "One")
        comment_on(as_alice, team, "row", row, "Two")
        thread = Comment.objects.first()
        comment_on(as_alice, team, "row", row, "Not a thread", under=thread.pk)
        assert "Comments: 2 open" in self.show(team, "{% comments 'row' row.pk %}", row=row)
        as_alice.post(f"/t/{team.slug}/comments/{thread.pk}/resolve/", headers=HX)
        assert "Comments: 1 open" in self.show(team, "{% comments 'row' row.pk %}", row=row)

    def test_a_hundred_cost_one_query(self, row, team, as_alice, django_assert_num_queries) -> None:
        comment_on(as_alice, team, "row", row, "One")
        rows = [row.dataset.rows.create(position=20 + n, split="train", messages=row.messages) for n in range(99)]
        template = "{% comment_counts 'row' rows as open %}{% for row in rows %}{% comments 'row' row.pk counts=open %}{% endfor %}"
        with django_assert_num_queries(1):
            page = self.show(team, template, rows=[row, *rows])
        assert page.count("<button") == 100 and page.count("1 open") == 1

    def test_parts_of_a_version_are_counted_apart(self, version, team, as_alice) -> None:
        comment_on(as_alice, team, "prompt_version", version, "One", part=0)
        template = "{% comments 'prompt_version' v.pk %} {% comments 'prompt_version' v.pk part=0 %} {% comments 'prompt_version' v.pk part=1 %}"
        buttons = self.show(team, template, v=version).split("</button>")
        assert ["1 open" in button for button in buttons[:3]] == [True, True, False]

    def test_a_page_asks_for_many_counts_at_once(self, row, version, team, as_alice, as_charlie, other_team) -> None:
        comment_on(as_alice, team, "row", row, "One")
        comment_on(as_alice, team, "prompt_version", version, "Two", part=0)
        counts = f"comments/counts/?kind=row&id={row.pk}&id=0"
        assert as_alice.get(f"/t/{team.slug}/{counts}").json()["counts"] == {str(row.pk): 1, "0": 0}
        assert as_charlie.get(f"/t/{other_team.slug}/{counts}").json()["counts"] == {str(row.pk): 0, "0": 0}
        found = as_alice.get(f"/t/{team.slug}/comments/counts/?kind=prompt_version&id={version.pk}").json()["counts"]
        assert found == {str(version.pk): 1, f"{version.pk}:0": 1}

    def test_a_panel_of_fifty_threads_costs_what_one_of_two_does(
        self, row, team, alice, bob, as_alice, django_assert_max_num_queries
    ) -> None:
        anchor = anchors.find(team, "row", str(row.pk))
        for number in range(50):
            thread = Comment.post(anchor, bob, f"@alice number {number}")
            Comment.post(anchor, alice, "Yes.", under=thread)
        with django_assert_max_num_queries(16):
            assert comments_panel(as_alice, team, "row", row).count("@Alice") == 0

    def test_chat_and_data_pages_have_them(self, said, row, team, as_alice, as_bob) -> None:
        comment_on(as_bob, team, "message", said, "Good question")
        comment_on(as_bob, team, "row", row, "Good row")
        thread = as_alice.get(f"/t/{team.slug}/chat/{said.chat_id}/thread/").content.decode()
        assert re.search(rf'data-comments="message:{said.pk}"[^>]*aria-label="Comments: 1 open"', thread)
        grid = as_alice.get(f"/t/{team.slug}/data/{row.dataset_id}/").content.decode()
        assert re.search(rf'data-comments="row:{row.pk}"[^>]*aria-label="Comments: 1 open"', grid)


def test_comments_are_in_the_activity_of_what_they_are_about(row, team, bob, as_bob) -> None:
    comment_on(as_bob, team, "row", row, "Secret words")
    [done] = Activity.objects.filter(team=team, kind="dataset")
    assert (done.actor, done.verb, done.name, done.note) == (bob, "commented on", "Rows", "row 12")
    assert f"comment={Comment.objects.get().pk}" in done.url


@pytest.mark.django_db(transaction=True)
async def test_everyone_who_looks_hears_of_a_new_comment(row, team, alice, bob) -> None:
    from tests.workspace.tabs import Tab

    async with Tab(alice, team.slug) as hers:
        client = await sync_to_async(browser)(bob)
        await sync_to_async(comment_on)(client, team, "row", row, "Look")
        assert (await hers.hear("changed", object=f"comments:row:{row.pk}"))["type"] == "changed"
