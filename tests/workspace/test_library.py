"""The list of prompts: found by folder, tag, word, label and star; many changed at once, and taken back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from tests.conftest import browser
from workspace import bulk
from workspace.models import Activity, Membership, Prompt, PromptLabel, ProtectedLabel, Role, Team, User


def make(team: Team, author: User, name: str, text: str = "Say hello.", **more: Any) -> Prompt:
    return Prompt.start(team=team, author=author, name=name, messages=[{"role": "user", "content": text}], **more)


@pytest.fixture
def library(team: Team, alice: User, bob: User) -> dict[str, Prompt]:
    """Four prompts in two folders and none."""
    made = [
        make(team, alice, "mail/complaint", "Answer an unhappy customer.", tags=["support", "mail"]),
        make(team, alice, "mail/offers/spring", "Write an offer.", tags=["sales", "mail"]),
        make(team, alice, "tone", "Be kind.", kind="text", tags=["support"]),
        make(team, bob, "mails", "Not in the folder mail."),
    ]
    return {prompt.name: prompt for prompt in made}


def url(team: Team, rest: str = "") -> str:
    return f"/t/{team.slug}/prompts/{rest}"


def shown(client: Client, team: Team, query: str = "") -> list[str]:
    page = client.get(url(team, f"?{query}"))
    assert page.status_code == 200
    return [row.prompt.name for row in page.context["page"].rows]


def test_each_filter_and_all_of_them_together(as_bob: Client, team: Team, library: dict[str, Prompt]) -> None:
    assert shown(as_bob, team) == ["mails", "tone", "mail/offers/spring", "mail/complaint"]
    assert shown(as_bob, team, "folder=mail") == ["mail/offers/spring", "mail/complaint"]
    assert shown(as_bob, team, "folder=mail/offers") == ["mail/offers/spring"]
    assert shown(as_bob, team, "tags=support") == ["tone", "mail/complaint"]
    assert shown(as_bob, team, "tags=support&tags=mail") == ["mail/complaint"]
    assert shown(as_bob, team, "q=unhap") == ["mail/complaint"]
    assert shown(as_bob, team, "kind=text") == ["tone"]
    assert shown(as_bob, team, "sort=name") == ["mail/complaint", "mail/offers/spring", "mails", "tone"]
    assert shown(as_bob, team, "folder=mail&tags=mail&q=offer&kind=chat") == ["mail/offers/spring"]
    assert shown(as_bob, team, "kind=nonsense&sort=nonsense&after=nonsense&folder=/mail/") == [
        "mail/offers/spring", "mail/complaint",
    ]  # fmt: skip


def test_a_row_says_what_one_needs_to_know(as_bob: Client, team: Team, library: dict[str, Prompt], alice: User) -> None:
    owner, prompt = Membership.objects.get(team=team, user=alice), library["mail/complaint"]
    PromptLabel.move(prompt.versions.get(), "production", by=owner)
    prompt.save_version(alice, based_on=1, messages=[{"role": "user", "content": "Shorter."}], note="Half as long")
    page = as_bob.get(url(team, "?label=production"))
    row = page.context["page"].rows[0]
    assert [row.prompt.name for row in page.context["page"].rows] == ["mail/complaint"]
    text = re.sub(r"\s+", " ", page.content.decode())
    for words in ("v2", "production v1", "by Alice", "Half as long", ">support<", prompt.get_absolute_url()):
        assert words in text, words
    assert row.version.number == 2


def test_folders_are_a_tree_with_counts_that_opens_on_the_way(as_bob: Client, team: Team, library: Any) -> None:
    tree = lambda query: [  # noqa: E731
        (folder.path, folder.count, folder.depth) for folder in as_bob.get(url(team, query)).context["folders"]
    ]
    assert tree("") == [("mail", 2, 0)]
    assert tree("?folder=mail") == [("mail", 2, 0), ("mail/offers", 1, 1)]
    assert "All folders" in as_bob.get(url(team, "?folder=mail/offers")).content.decode()


def test_tags_are_offered_as_long_as_they_leave_something(as_bob: Client, team: Team, library: Any) -> None:
    tags = lambda query: [(tag.name, tag.count, tag.on) for tag in as_bob.get(url(team, query)).context["tags"]]  # noqa: E731
    assert tags("") == [("mail", 2, False), ("support", 2, False), ("sales", 1, False)]
    assert tags("?tags=support") == [("support", 2, True), ("mail", 1, False)]


def test_a_star_is_ones_own_and_anyone_may_set_it(as_bob: Client, as_dana: Client, team: Team, library: Any) -> None:
    star = url(team, f"{library['tone'].pk}/favourite/")
    answer = as_dana.post(star, {"on": "1"}, headers={"HX-Request": "true"})
    assert b'aria-pressed="true"' in answer.content
    as_dana.post(star, {"on": "1"})
    assert shown(as_dana, team, "favourites=1") == ["tone"]
    assert shown(as_bob, team, "favourites=1") == []
    as_dana.post(star, {"on": "0"})
    assert shown(as_dana, team, "favourites=1") == []


def act(client: Client, team: Team, act: str, prompts: list[Prompt], **more: str) -> str:
    answer = client.post(
        url(team, "act/"), {"act": act, "prompt": [prompt.pk for prompt in prompts], **more}, follow=True
    )
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode())


def test_archiving_many_is_undone_by_one_button(as_bob: Client, team: Team, library: Any) -> None:
    earlier = library["mails"]
    earlier.archive(earlier.author)
    page = act(as_bob, team, "archive", [library["tone"], library["mail/complaint"]], here="sort=name")
    assert "Archived 2 prompts" in page
    assert shown(as_bob, team) == ["mail/offers/spring"]
    assert sorted(shown(as_bob, team, "archived=1")) == ["mail/complaint", "mails", "tone"]
    at = re.search(r'name="at" value="([^"]+)"', page)
    assert at
    assert "Restored 2 prompts." in act(as_bob, team, "undo", [], at=at[1])
    assert sorted(shown(as_bob, team)) == ["mail/complaint", "mail/offers/spring", "tone"]
    assert Activity.objects.filter(verb="archived", name="tone").count() == 1


def test_restoring_says_which_name_was_taken_meanwhile(as_bob: Client, team: Team, library: Any, bob: User) -> None:
    act(as_bob, team, "archive", [library["tone"], library["mails"]])
    make(team, bob, "tone")
    said = act(as_bob, team, "restore", [library["tone"], library["mails"]], here="archived=1")
    assert "Restored 1 prompt. tone stayed in the archive" in said
    assert shown(as_bob, team, "archived=1") == ["tone"]


def test_tags_are_put_on_and_taken_off(as_bob: Client, team: Team, library: Any) -> None:
    act(as_bob, team, "tag", [library["tone"], library["mails"]], tag="house style, support")
    assert sorted(shown(as_bob, team, "tags=house+style&tags=support")) == ["mails", "tone"]
    assert shown(as_bob, team, "q=house+sty") == ["mails", "tone"]
    act(as_bob, team, "untag", [library["mails"]], tag="support")
    assert shown(as_bob, team, "tags=house+style&tags=support") == ["tone"]
    assert "Write a tag first" in act(as_bob, team, "tag", [library["tone"]], tag=" , ")
    assert "Nothing was chosen" in act(as_bob, team, "tag", [], tag="x")


def test_two_people_who_tag_at_once_both_have_their_tags(team: Team, library: dict[str, Prompt], bob: User) -> None:
    name = next(iter(library))
    mine, theirs = Prompt.objects.get(pk=library[name].pk), Prompt.objects.get(pk=library[name].pk)
    bulk.tag([mine], bob, ["first"])
    bulk.tag([theirs], bob, ["second"])
    assert {"first", "second"} <= set(Prompt.objects.get(pk=mine.pk).tags)


def test_a_name_taken_at_the_moment_of_restoring_is_said(team: Team, library: dict[str, Prompt], bob: User) -> None:
    away = Prompt.objects.select_related("team").get(pk=next(iter(library.values())).pk)
    away.archive(bob)
    Prompt.start(team=team, author=bob, name="Taken", messages=[{"role": "user", "content": "x"}])
    Prompt.objects.filter(pk=away.pk).update(name="Taken")  # after it was read below by another name
    with pytest.raises(bulk.NotDone, match="taken at this moment"):
        bulk.restore([away], bob)


def test_moving_changes_the_names_or_nothing(as_bob: Client, team: Team, library: Any, bob: User) -> None:
    act(as_bob, team, "move", [library["tone"], library["mails"]], to="/house//style/")
    assert sorted(shown(as_bob, team, "folder=house/style")) == ["house/style/mails", "house/style/tone"]
    assert shown(as_bob, team, "q=house") != []
    act(as_bob, team, "move", [library["mails"]], to="")
    make(team, bob, "house/style/mails")
    said = act(as_bob, team, "move", [library["mail/complaint"], library["mails"]], to="house/style")
    assert "There is already a prompt called house/style/mails" in said
    assert "mail/complaint" in shown(as_bob, team)
    assert "cannot contain" in act(as_bob, team, "move", [library["mails"]], to="a{b")


def test_acts_stop_at_the_team_and_at_the_role(
    as_bob: Client, as_dana: Client, team: Team, library: Any, other_team: Team, charlie: User
) -> None:
    theirs = make(other_team, charlie, "secret")
    for ids in ([theirs.pk], [library["tone"].pk, theirs.pk], ["not-an-id"]):
        assert as_bob.post(url(team, "act/"), {"act": "archive", "prompt": ids}).status_code == 404
    theirs.refresh_from_db()
    assert theirs.archived_at is None
    assert "tone" in shown(as_bob, team)
    assert as_bob.post(url(team, f"{theirs.pk}/favourite/"), {"on": "1"}).status_code == 404
    assert as_dana.post(url(team, "act/"), {"act": "archive", "prompt": [library["tone"].pk]}).status_code == 403
    assert shown(as_bob, team, "q=secret") == []


def test_the_empty_library_teaches_and_its_starters_work(
    as_bob: Client, as_dana: Client, team: Team, bob: User
) -> None:
    assert "Add three starter prompts" in as_bob.get(url(team)).content.decode()
    assert "Add three starter prompts" not in as_dana.get(url(team)).content.decode()
    as_bob.post(url(team, "starters/"))
    as_bob.post(url(team, "starters/"))
    assert len(shown(as_bob, team, "label=production")) == 3
    answer = Prompt.objects.get(name="starters/answer-a-customer").find()
    system = answer.render({"message": "Where is my book?"}).messages[0]["content"]
    assert "Lighthouse Books" in system
    assert "plain words" in system


def test_starters_leave_a_protected_label_alone(as_bob: Client, team: Team) -> None:
    ProtectedLabel.objects.create(team=team, name="production", role=Role.ADMIN)
    as_bob.post(url(team, "starters/"))
    assert (len(shown(as_bob, team)), shown(as_bob, team, "label=production")) == (3, [])


def test_empty_results_say_why(as_bob: Client, team: Team, library: Any) -> None:
    assert "holds “zebra”" in as_bob.get(url(team, "?q=zebra")).content.decode()
    assert "The archive is empty" in as_bob.get(url(team, "?archived=1")).content.decode()
    assert "No favourites" in as_bob.get(url(team, "?favourites=1")).content.decode()


@pytest.mark.parametrize("sort", ["recent", "name"])
def test_pages_follow_one_another_without_gap_or_double(as_bob: Client, team: Team, bob: User, sort: str) -> None:
    for number in range(120):
        make(team, bob, f"{'B' if number % 2 else 'a'}/{number % 7}/{number}")
    Prompt.objects.filter(name__startswith="a/").update(updated_at="2026-11-25T10:00Z")  # saved at one moment
    seen: list[str] = []
    after = ""
    for _ in range(5):
        page = as_bob.get(url(team), {"sort": sort, "after": after}, headers={"HX-Request": "true"})
        seen += [row.prompt.name for row in page.context["page"].rows]
        after = page.context["page"].after
        if not after:
            break
    assert len(seen) == len(set(seen)) == 120
    if sort == "name":
        assert seen == sorted(seen, key=str.lower)


def test_the_number_of_queries_does_not_grow(team: Team, bob: User, django_assert_max_num_queries: Any) -> None:
    client = browser(bob)
    counts = []
    for number in (3, 60):
        for made in range(number):
            prompt = make(team, bob, f"f{made}/{number}-{made}", tags=[f"t{made}"])
            PromptLabel.move(prompt.versions.get(), "production", by=Membership.objects.get(team=team, user=bob))
        with django_assert_max_num_queries(30) as queries:
            assert len(shown(client, team, "q=say&folder=")) >= 3
        counts.append(len(queries))
    assert counts[0] == counts[1]
