"""Few-shot sets as people use them: every save a version, nothing lost between two people, what examples cost, where from."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from tests.workspace.conftest import pairs_in, set_url
from workspace.example_merging import differences, merge
from workspace.examples import Slot, Texts, summary
from workspace.forms.examples import SetForm
from workspace.models import Example, ExampleSet, Stale
from workspace.views import examples as views


def form(found: ExampleSet, keys: list[Any] | None = None, seen: int | None = None, **more: Any) -> dict[str, Any]:
    """What the set's page sends: everything as it is, unless said."""
    order = found.versions.get(number=seen or found.latest).order
    return {
        "seen": seen or found.latest,
        "arranged": "1",
        "shown": ",".join(map(str, order)),
        "key": [str(key) for key in (order if keys is None else keys)],
        **more,
    }


def edit(key: Any, input: str, output: str) -> dict[str, str]:
    return {f"input-{key}": input, f"output-{key}": output}


# --- saving


def test_several_changes_are_saved_as_one_version_and_the_old_one_stays(as_bob, example_set):
    house, horse, tree = example_set.newest.order
    before = example_set.latest
    sent = form(example_set, [tree, house, "new-1"], **edit(house, "home", "foyer"), **edit("new-1", "sea", "mer"))
    done = as_bob.post(set_url(example_set, "save/"), sent)
    assert done.status_code == 302
    example_set.refresh_from_db()
    assert pairs_in(example_set) == [("tree", "arbre"), ("home", "foyer"), ("sea", "mer")]
    assert example_set.latest == before + 1
    assert example_set.newest.note == "Edited 1, added 1, removed 1, reordered"
    assert example_set.newest.ordered()[1].replaces_id == house
    assert [e.input for e in example_set.versions.get(number=before).ordered()] == ["house", "horse", "tree"]
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        Example.objects.filter(pk=horse).update(output="Rewritten")


def test_a_save_that_changes_nothing_makes_no_version(as_bob, example_set):
    before = example_set.latest
    as_bob.post(set_url(example_set, "save/"), form(example_set))
    example_set.refresh_from_db()
    assert example_set.latest == before


def test_a_page_of_a_sorted_or_searched_set_keeps_the_order_of_the_whole(as_bob, example_set):
    house, _horse, tree = example_set.newest.order
    sent = form(example_set, [tree, "new-1"], **edit("new-1", "sea", "mer")) | {
        "arranged": "", "shown": f"{tree},{house}",
    }  # fmt: skip
    as_bob.post(set_url(example_set, "save/"), sent)
    example_set.refresh_from_db()
    assert [one[0] for one in pairs_in(example_set)] == ["horse", "tree", "sea"]


def test_an_example_is_taken_to_any_place_by_its_number(as_bob, example_set):
    house, *_ = example_set.newest.order
    as_bob.post(set_url(example_set, "save/"), form(example_set, **{f"place-{house}": "3"}))
    example_set.refresh_from_db()
    assert [one[0] for one in pairs_in(example_set)] == ["horse", "tree", "house"]


def test_an_incomplete_example_comes_back_as_it_was_typed_and_nothing_is_saved(as_bob, example_set):
    house, horse, _ = example_set.newest.order
    before = example_set.latest
    sent = form(example_set, [horse, house, "new-1"], **edit("new-1", "a <b> sea", " "), note="More water")
    page = as_bob.post(set_url(example_set, "save/"), sent)
    assert page.status_code == 422
    text = page.content.decode()
    assert "a &lt;b&gt; sea" in text and "The output is empty" in text and 'value="More water"' in text
    assert text.index(f"example-{horse}") < text.index(f"example-{house}")  # the order that was being made
    example_set.refresh_from_db()
    assert example_set.latest == before


def test_examples_of_another_set_cannot_be_slipped_in(as_bob, example_set, alice, team):
    other = ExampleSet.start(team=team, author=alice, name="Other").add(alice, input="x", output="y")
    as_bob.post(set_url(example_set, "save/"), form(example_set, [*example_set.newest.order, other.pk]))
    example_set.refresh_from_db()
    assert ("x", "y") not in pairs_in(example_set)


# --- two people


def test_a_second_save_shows_both_and_saves_them_together(as_alice, as_bob, example_set):
    house, horse, tree = example_set.newest.order
    seen = example_set.latest
    as_alice.post(
        set_url(example_set, "save/"), form(example_set, [house, tree, "new-a"], **edit("new-a", "sea", "mer"))
    )
    mine = form(
        example_set, [house, horse, tree, "new-b"], seen, **edit(tree, "oak", "chêne"), **edit("new-b", "sky", "ciel")
    )
    page = as_bob.post(set_url(example_set, "save/"), mine)
    assert page.status_code == 409
    text = page.content.decode()
    for both in ("mer", "chêne", "ciel", "horse", f"saved version {seen + 1}"):
        assert both in text
    example_set.refresh_from_db()
    assert example_set.latest == seen + 1  # alice's only
    again = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', text))
    keys = re.findall(r'name="key" value="([^"]*)"', text)
    assert as_bob.post(set_url(example_set, "save/"), {**again, "key": keys}).status_code == 302
    example_set.refresh_from_db()
    assert pairs_in(example_set) == [("house", "maison"), ("oak", "chêne"), ("sky", "ciel"), ("sea", "mer")]


@pytest.mark.parametrize(
    ("choice", "kept"),
    [("mine", ["manor"]), ("theirs", ["home"]), ("both", ["home", "manor"])],
)
def test_an_example_that_both_changed_is_decided_by_the_second(as_alice, as_bob, example_set, choice, kept):
    house, _horse, _tree = example_set.newest.order
    seen = example_set.latest
    as_alice.post(set_url(example_set, "save/"), form(example_set, **edit(house, "home", "foyer")))
    mine = form(example_set, seen=seen, **edit(house, "manor", "manoir"))
    text = as_bob.post(set_url(example_set, "save/"), mine).content.decode()
    assert "Changed by both" in text and "home" in text and "manor" in text
    as_bob.post(set_url(example_set, "save/"), {**mine, "theirs": seen + 1, f"choice-{house}": choice})
    example_set.refresh_from_db()
    assert [one[0] for one in pairs_in(example_set)] == [*kept, "horse", "tree"]


def test_a_third_save_in_between_is_shown_again(as_alice, as_bob, example_set):
    house, horse, tree = example_set.newest.order
    seen = example_set.latest
    for key in ("new-1", "new-2"):
        example_set.refresh_from_db()
        as_alice.post(
            set_url(example_set, "save/"),
            form(example_set, key=[*example_set.newest.order, key], **edit(key, key, key)),
        )
    page = as_bob.post(
        set_url(example_set, "save/"), {**form(example_set, [tree, house, horse], seen), "theirs": seen + 1}
    )
    assert page.status_code == 409
    assert f'name="theirs" value="{seen + 2}"' in page.content.decode()


A, B, C, D = (uuid4() for _ in range(4))


def test_merging_keeps_what_each_did():
    mine = [Slot(B), Slot(A), Slot(texts=Texts("n", "n"))]  # reordered, C removed, one added
    merged, clashes = merge([A, B, C], [A, B, C, D], mine, {})
    assert merged == [Slot(B), Slot(D), Slot(A), Slot(texts=Texts("n", "n"))]  # D stays behind what it was put behind
    assert not clashes
    _, [clash] = merge([A], [], [Slot(A, Texts("x", "y"))], {})
    assert (clash.mine, clash.theirs) == (Slot(A, Texts("x", "y")), None)
    assert merge([A], [B], [], {A: B})[0] == [Slot(B)]  # I removed what they edited: kept until someone decides
    assert merge([A, B], [B], [Slot(B)], {}) == ([Slot(B)], [])  # both removed it


def test_only_what_left_its_place_counts_as_moved():
    assert [(d.kind, d.was, d.place) for d in differences([A, B, C, D], [D, A, B, C], {})] == [("moved", 4, 1)]
    assert [d.kind for d in differences([A, B], [C, B], {C: A})] == ["edited"]
    assert [d.kind for d in differences([A], [B], {})] == ["added", "removed"]
    assert summary([A, B], [Slot(A), Slot(B)]) == ""


def test_an_example_that_the_seen_version_does_not_hold_is_no_error(as_alice, as_bob, example_set):
    seen = example_set.latest
    as_alice.post(
        set_url(example_set, "save/"),
        form(example_set, [*example_set.newest.order, "new-1"], **edit("new-1", "sea", "mer")),
    )
    example_set.refresh_from_db()
    sent = {**form(example_set, **edit(example_set.newest.order[-1], "ocean", "océan")), "seen": seen}
    assert as_bob.post(set_url(example_set, "save/"), sent).status_code == 409
    as_bob.post(set_url(example_set, "save/"), {**sent, "theirs": seen + 1})
    example_set.refresh_from_db()
    assert [one[0] for one in pairs_in(example_set)] == ["house", "horse", "tree", "ocean", "sea"]


# --- history


def test_history_shows_what_differs_by_words_and_restores(as_bob, example_set, alice):
    house, *_ = example_set.newest.order
    first = example_set.latest
    example_set.save_slots(alice, [Slot(house, Texts("the big house", "la maison"))], based_on=first)
    page = as_bob.get(set_url(example_set, "history/")).content.decode()
    assert "<ins>la </ins>maison" in page and "<ins>the big </ins>house" in page
    assert page.count("chip-bad") == 2  # horse and tree are gone
    as_bob.post(set_url(example_set, f"restore/{first}/"))
    example_set.refresh_from_db()
    assert [one[0] for one in pairs_in(example_set)] == ["house", "horse", "tree"]
    assert example_set.newest.note == f"Restored version {first}"
    assert as_bob.get(set_url(example_set, "history/?old=1&new=99")).status_code == 404


def test_a_set_is_renamed_described_archived_and_brought_back(as_bob, example_set, team, alice):
    as_bob.post(set_url(example_set, "change/"), {"name": "French words", "description": "House style"})
    example_set.refresh_from_db()
    assert (example_set.name, example_set.description) == ("French words", "House style")
    ExampleSet.start(team=team, author=alice, name="Taken")
    refused = as_bob.post(set_url(example_set, "change/"), {"name": "Taken", "description": "typed"})
    assert refused.status_code == 422 and "Another set has this name" in refused.content.decode()
    away = as_bob.post(set_url(example_set, "archive/"))
    page = as_bob.get(away.url).content.decode()
    assert "is archived" in page and "Undo" in page and not as_bob.get("/t/lighthouse/examples/").context["sets"][1:]
    as_bob.post(set_url(example_set, "archive/"), {"undo": "1"})
    assert ExampleSet.objects.for_team(team).filter(pk=example_set.pk).exists()


def test_a_new_set_needs_a_free_name(as_bob, example_set):
    refused = as_bob.post("/t/lighthouse/examples/new/", {"name": "Words", "description": "kept"})
    assert refused.status_code == 422 and ">\nkept</textarea>" in refused.content.decode()
    assert as_bob.post("/t/lighthouse/examples/new/", {"name": "More words"}).status_code == 302


# --- ratings


def test_a_name_that_is_taken_meanwhile_is_said_and_what_was_typed_stays(as_bob, example_set, alice, team, monkeypatch):
    ExampleSet.start(team=team, author=alice, name="Mails")
    monkeypatch.setattr(SetForm, "clean_name", lambda form: form.cleaned_data["name"])  # the other was quicker
    page = as_bob.post(set_url(example_set, "change/"), {"name": "Mails", "description": "For the desk"})
    assert page.status_code == 422
    assert "Another set has this name" in page.text and "For the desk" in page.text


def test_each_person_rates_once_and_the_mean_is_shown_sorted_and_filtered(as_alice, as_bob, as_dana, example_set):
    _house, horse, tree = example_set.newest.order
    for client, stars in ((as_alice, 5), (as_bob, 2)):
        page = client.post(set_url(example_set, f"{horse}/rate/"), {"stars": stars}).content.decode()
    assert "3.5" in page and "(2)" in page
    as_bob.post(set_url(example_set, f"{tree}/rate/"), {"stars": 5})
    assert as_dana.post(set_url(example_set, f"{horse}/rate/"), {"stars": 5}).status_code == 403
    rows = lambda query: [row.input for row in as_dana.get(set_url(example_set, query)).context["listing"].rows]  # noqa: E731
    assert rows("?sort=stars") == ["tree", "horse", "house"]
    assert rows("?stars=3") == ["horse", "tree"]
    assert rows("?stars=4") == ["tree"]
    as_bob.post(set_url(example_set, f"{tree}/rate/"), {"stars": 5})  # the same again takes it back
    assert rows("?stars=1") == ["horse"]
    sets = as_dana.get("/t/lighthouse/examples/").context["sets"]
    assert sets[0].figures.stars == pytest.approx(3.5) and sets[0].figures.ratings == 2


def test_a_stale_save_of_the_model_stores_nothing(example_set, alice):
    with pytest.raises(Stale):
        example_set.save_slots(alice, [], based_on=1)
    assert len(pairs_in(example_set)) == 3


def test_the_best_rated_set_of_all_comes_first_however_long_ago_it_changed(
    as_bob, example_set, alice, team, monkeypatch
):
    monkeypatch.setattr(views, "PAGE", 1)
    as_bob.post(set_url(example_set, f"{example_set.newest.order[0]}/rate/"), {"stars": 4})
    for name in ("Newer", "Newest"):
        ExampleSet.start(team=team, author=alice, name=name)
    assert [found.name for found in as_bob.get("/t/lighthouse/examples/").context["sets"]] == ["Newest"]
    assert [found.name for found in as_bob.get("/t/lighthouse/examples/?sort=stars").context["sets"]] == ["Words"]
