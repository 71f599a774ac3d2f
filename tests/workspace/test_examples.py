"""Few-shot sets as people use them: every save a version, nothing lost between two people, what examples cost, where from."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from jobs.ml.template import load_template
from jobs.models import Dataset
from tests.stack import prepared_models
from tests.workspace.conftest import answer
from workspace import pasting
from workspace.example_merging import differences, merge
from workspace.examples import Slot, Texts, summary
from workspace.models import Example, ExampleSet, Feedback, Grid, Prompt, Stale, TooMany


def url(found: ExampleSet, rest: str = "") -> str:
    return found.get_absolute_url() + rest


def words(found: ExampleSet) -> list[tuple[str, str]]:
    return [(example.input, example.output) for example in found.newest.ordered()]


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
    done = as_bob.post(url(example_set, "save/"), sent)
    assert done.status_code == 302
    example_set.refresh_from_db()
    assert words(example_set) == [("tree", "arbre"), ("home", "foyer"), ("sea", "mer")]
    assert example_set.latest == before + 1
    assert example_set.newest.note == "Edited 1, added 1, removed 1, reordered"
    assert example_set.newest.ordered()[1].replaces_id == house
    assert [e.input for e in example_set.versions.get(number=before).ordered()] == ["house", "horse", "tree"]
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        Example.objects.filter(pk=horse).update(output="Rewritten")


def test_a_save_that_changes_nothing_makes_no_version(as_bob, example_set):
    before = example_set.latest
    as_bob.post(url(example_set, "save/"), form(example_set))
    example_set.refresh_from_db()
    assert example_set.latest == before


def test_a_page_of_a_sorted_or_searched_set_keeps_the_order_of_the_whole(as_bob, example_set):
    house, _horse, tree = example_set.newest.order
    sent = form(example_set, [tree, "new-1"], **edit("new-1", "sea", "mer")) | {
        "arranged": "", "shown": f"{tree},{house}",
    }  # fmt: skip
    as_bob.post(url(example_set, "save/"), sent)
    example_set.refresh_from_db()
    assert [one[0] for one in words(example_set)] == ["horse", "tree", "sea"]


def test_an_example_is_taken_to_any_place_by_its_number(as_bob, example_set):
    house, *_ = example_set.newest.order
    as_bob.post(url(example_set, "save/"), form(example_set, **{f"place-{house}": "3"}))
    example_set.refresh_from_db()
    assert [one[0] for one in words(example_set)] == ["horse", "tree", "house"]


def test_an_incomplete_example_comes_back_as_it_was_typed_and_nothing_is_saved(as_bob, example_set):
    house, horse, _ = example_set.newest.order
    before = example_set.latest
    sent = form(example_set, [horse, house, "new-1"], **edit("new-1", "a <b> sea", " "), note="More water")
    page = as_bob.post(url(example_set, "save/"), sent)
    assert page.status_code == 422
    text = page.content.decode()
    assert "a &lt;b&gt; sea" in text and "The output is empty" in text and 'value="More water"' in text
    assert text.index(f"example-{horse}") < text.index(f"example-{house}")  # the order that was being made
    example_set.refresh_from_db()
    assert example_set.latest == before


def test_examples_of_another_set_cannot_be_slipped_in(as_bob, example_set, alice, team):
    other = ExampleSet.start(team=team, author=alice, name="Other").add(alice, input="x", output="y")
    as_bob.post(url(example_set, "save/"), form(example_set, [*example_set.newest.order, other.pk]))
    example_set.refresh_from_db()
    assert ("x", "y") not in words(example_set)


# --- two people


def test_a_second_save_shows_both_and_saves_them_together(as_alice, as_bob, example_set):
    house, horse, tree = example_set.newest.order
    seen = example_set.latest
    as_alice.post(url(example_set, "save/"), form(example_set, [house, tree, "new-a"], **edit("new-a", "sea", "mer")))
    mine = form(
        example_set, [house, horse, tree, "new-b"], seen, **edit(tree, "oak", "chêne"), **edit("new-b", "sky", "ciel")
    )
    page = as_bob.post(url(example_set, "save/"), mine)
    assert page.status_code == 409
    text = page.content.decode()
    for both in ("mer", "chêne", "ciel", "horse", f"saved version {seen + 1}"):
        assert both in text
    example_set.refresh_from_db()
    assert example_set.latest == seen + 1  # alice's only
    again = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', text))
    keys = re.findall(r'name="key" value="([^"]*)"', text)
    assert as_bob.post(url(example_set, "save/"), {**again, "key": keys}).status_code == 302
    example_set.refresh_from_db()
    assert words(example_set) == [("house", "maison"), ("oak", "chêne"), ("sky", "ciel"), ("sea", "mer")]


@pytest.mark.parametrize(
    ("choice", "kept"),
    [("mine", ["manor"]), ("theirs", ["home"]), ("both", ["home", "manor"])],
)
def test_an_example_that_both_changed_is_decided_by_the_second(as_alice, as_bob, example_set, choice, kept):
    house, _horse, _tree = example_set.newest.order
    seen = example_set.latest
    as_alice.post(url(example_set, "save/"), form(example_set, **edit(house, "home", "foyer")))
    mine = form(example_set, seen=seen, **edit(house, "manor", "manoir"))
    text = as_bob.post(url(example_set, "save/"), mine).content.decode()
    assert "Changed by both" in text and "home" in text and "manor" in text
    as_bob.post(url(example_set, "save/"), {**mine, "theirs": seen + 1, f"choice-{house}": choice})
    example_set.refresh_from_db()
    assert [one[0] for one in words(example_set)] == [*kept, "horse", "tree"]


def test_a_third_save_in_between_is_shown_again(as_alice, as_bob, example_set):
    house, horse, tree = example_set.newest.order
    seen = example_set.latest
    for key in ("new-1", "new-2"):
        example_set.refresh_from_db()
        as_alice.post(
            url(example_set, "save/"),
            form(example_set, key=[*example_set.newest.order, key], **edit(key, key, key)),
        )
    page = as_bob.post(url(example_set, "save/"), {**form(example_set, [tree, house, horse], seen), "theirs": seen + 1})
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
        url(example_set, "save/"),
        form(example_set, [*example_set.newest.order, "new-1"], **edit("new-1", "sea", "mer")),
    )
    example_set.refresh_from_db()
    sent = {**form(example_set, **edit(example_set.newest.order[-1], "ocean", "océan")), "seen": seen}
    assert as_bob.post(url(example_set, "save/"), sent).status_code == 409
    as_bob.post(url(example_set, "save/"), {**sent, "theirs": seen + 1})
    example_set.refresh_from_db()
    assert [one[0] for one in words(example_set)] == ["house", "horse", "tree", "ocean", "sea"]


# --- history


def test_history_shows_what_differs_by_words_and_restores(as_bob, example_set, alice):
    house, *_ = example_set.newest.order
    first = example_set.latest
    example_set.save_slots(alice, [Slot(house, Texts("the big house", "la maison"))], based_on=first)
    page = as_bob.get(url(example_set, "history/")).content.decode()
    assert "<ins>la </ins>maison" in page and "<ins>the big </ins>house" in page
    assert page.count("chip-bad") == 2  # horse and tree are gone
    as_bob.post(url(example_set, f"restore/{first}/"))
    example_set.refresh_from_db()
    assert [one[0] for one in words(example_set)] == ["house", "horse", "tree"]
    assert example_set.newest.note == f"Restored version {first}"
    assert as_bob.get(url(example_set, "history/?old=1&new=99")).status_code == 404


def test_a_set_is_renamed_described_archived_and_brought_back(as_bob, example_set, team, alice):
    as_bob.post(url(example_set, "change/"), {"name": "French words", "description": "House style"})
    example_set.refresh_from_db()
    assert (example_set.name, example_set.description) == ("French words", "House style")
    ExampleSet.start(team=team, author=alice, name="Taken")
    refused = as_bob.post(url(example_set, "change/"), {"name": "Taken", "description": "typed"})
    assert refused.status_code == 422 and "Another set has this name" in refused.content.decode()
    away = as_bob.post(url(example_set, "archive/"))
    page = as_bob.get(away.url).content.decode()
    assert "is archived" in page and "Undo" in page and not as_bob.get("/t/lighthouse/examples/").context["sets"][1:]
    as_bob.post(url(example_set, "archive/"), {"undo": "1"})
    assert ExampleSet.objects.for_team(team).filter(pk=example_set.pk).exists()


def test_a_new_set_needs_a_free_name(as_bob, example_set):
    refused = as_bob.post("/t/lighthouse/examples/new/", {"name": "Words", "description": "kept"})
    assert refused.status_code == 422 and ">\nkept</textarea>" in refused.content.decode()
    assert as_bob.post("/t/lighthouse/examples/new/", {"name": "More words"}).status_code == 302


# --- ratings


def test_each_person_rates_once_and_the_mean_is_shown_sorted_and_filtered(as_alice, as_bob, as_dana, example_set):
    _house, horse, tree = example_set.newest.order
    for client, stars in ((as_alice, 5), (as_bob, 2)):
        page = client.post(url(example_set, f"{horse}/rate/"), {"stars": stars}).content.decode()
    assert "3.5" in page and "(2)" in page
    as_bob.post(url(example_set, f"{tree}/rate/"), {"stars": 5})
    assert as_dana.post(url(example_set, f"{horse}/rate/"), {"stars": 5}).status_code == 403
    rows = lambda query: [row.input for row in as_dana.get(url(example_set, query)).context["listing"].rows]  # noqa: E731
    assert rows("?sort=stars") == ["tree", "horse", "house"]
    assert rows("?stars=3") == ["horse", "tree"]
    assert rows("?stars=4") == ["tree"]
    as_bob.post(url(example_set, f"{tree}/rate/"), {"stars": 5})  # the same again takes it back
    assert rows("?stars=1") == ["horse"]
    sets = as_dana.get("/t/lighthouse/examples/").context["sets"]
    assert sets[0].figures.stars == pytest.approx(3.5) and sets[0].figures.ratings == 2


# --- pasting


def test_a_table_is_pasted_whole(as_bob, example_set):
    text = 'question\tanswer\tlang\n"a ""b""\nc"\tx\tfr\n\nd\ty\t\n'
    done = as_bob.post(url(example_set, "paste/"), {"text": text})
    assert done.status_code == 302
    example_set.refresh_from_db()
    assert words(example_set)[3:] == [('a "b"\nc', "x"), ("d", "y")]
    assert [e.values for e in example_set.newest.ordered()[3:]] == [{"lang": "fr"}, {}]
    assert example_set.newest.ordered()[3].source_kind == "import"


def test_bad_lines_are_named_and_nothing_is_added_until_someone_agrees(as_bob, example_set):
    text = "input,output\nsea,mer\nsky\n,vide\nsun,soleil\n"
    page = as_bob.post(url(example_set, "paste/"), {"text": text})
    assert page.status_code == 422
    shown = page.content.decode()
    assert "Line 3:" in shown and "one field where the first line names 2" in shown
    assert "Line 4:" in shown and "The input is empty" in shown and "sun,soleil" in shown
    example_set.refresh_from_db()
    assert len(words(example_set)) == 3
    as_bob.post(url(example_set, "paste/"), {"text": text, "partly": "1"})
    example_set.refresh_from_db()
    assert words(example_set)[3:] == [("sea", "mer"), ("sun", "soleil")]


def test_json_lines_bring_values_and_chats(as_bob, example_set):
    lines = [
        {"input": "a", "output": "b", "values": {"tone": "kind"}, "length": 3},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]},
    ]  # fmt: skip
    read = pasting.read("\n".join(map(json.dumps, lines)) + "\n{oops\n[1]\n" + '{"input": "only"}', most=10)
    assert read.good == [Texts("a", "b", {"tone": "kind", "length": "3"}), Texts("q", "r")]
    assert [line for line, _ in read.bad] == [3, 4, 5]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Nothing was pasted"),
        ("a,b\n1,2", "input and output must be among them"),
        ("input,input,output\n", "same name"),
        ('input,"output\n', "never closed"),
        ("input,output\n" + "a,b\n" * 4, "3 more fit"),
        ("x" * 1_000_001, "at most 1,000,000"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(text, why):
    with pytest.raises(pasting.NotReadable, match=why):
        pasting.read(text, most=3)


def test_a_set_is_bounded(example_set, alice, monkeypatch):
    monkeypatch.setattr("workspace.models.examples.MAX_EXAMPLES", 3)
    with pytest.raises(TooMany, match="at most 3"):
        example_set.add(alice, input="a", output="b")
    assert len(words(example_set)) == 3


# --- cost


@pytest.fixture
def real_tokenizer(settings, base):
    settings.STUDIO_MODELS = prepared_models()
    return load_template(str(base.path))


def test_tokens_are_what_an_example_adds_to_a_prompt(as_bob, example_set, base, real_tokenizer):
    page = as_bob.get(url(example_set))
    turns = [turn for example in example_set.newest.ordered() for turn in example.turns]
    asked = [{"role": "user", "content": "Q"}]
    with_examples, without = (len(real_tokenizer.prompt_ids(m)) for m in ([*turns, *asked], asked))
    assert page.context["total"] == with_examples - without
    assert sum(row.tokens for row in page.context["listing"].rows) == page.context["total"]
    assert "Counted on Small" in page.content.decode()
    assert page.context["share"] == pytest.approx(100 * page.context["total"] / 8192)


def test_a_model_elsewhere_is_estimated_and_says_so(as_bob, example_set, base):
    base.kind = "remote"
    base.save()
    page = as_bob.get(url(example_set))
    assert page.context["total"] == 9  # 11, 11 and 9 characters by four, each rounded up
    assert "four characters to a token" in page.content.decode()


def test_a_set_of_two_thousand_opens_with_as_many_queries_as_one_of_three(
    as_bob, example_set, alice, base, real_tokenizer
):
    as_bob.get(url(example_set))
    with CaptureQueriesContext(connection) as few:
        as_bob.get(url(example_set))
    example_set.add_many(alice, [Texts(f"word {n}", f"mot {n}") for n in range(1997)], note="many")
    as_bob.get(url(example_set))  # counts once
    with CaptureQueriesContext(connection) as many:
        page = as_bob.get(url(example_set))
    assert len(many) <= len(few)
    assert len(page.context["listing"].rows) == 50 and page.context["listing"].pages == 40
    assert "Page 40 of 40" in as_bob.get(url(example_set, "?page=99")).content.decode()


def test_the_list_of_sets_asks_as_many_queries_for_many_as_for_one(as_bob, example_set, team, alice):
    as_bob.get("/t/lighthouse/examples/")
    with CaptureQueriesContext(connection) as few:
        as_bob.get("/t/lighthouse/examples/")
    for n in range(12):
        ExampleSet.start(team=team, author=alice, name=f"Set {n}").add(alice, input="a", output="b")
    with CaptureQueriesContext(connection) as many:
        page = as_bob.get("/t/lighthouse/examples/")
    assert len(many) == len(few)
    assert [s.figures.examples for s in page.context["sets"]] == [1] * 12 + [3]
    assert [s.name for s in as_bob.get("/t/lighthouse/examples/?q=set 11").context["sets"]] == ["Set 11"]


# --- choosing


def test_the_preview_shows_what_each_way_takes(as_bob, example_set, base):
    ways = as_bob.get(url(example_set, "preview/?input=horses&count=2&seed=1&budget=4")).context["selection"].ways
    taken = {way.how: [example.input for _, example, _ in way.examples] for way in ways}
    assert taken["fixed"] == ["house", "horse"]
    assert taken["similar"][-1] == "horse"  # the most similar stands last, next to the question
    assert taken["budget"] == ["house"]  # 3 tokens, and 1 left
    assert len(taken["random"]) == 2
    again = as_bob.get(url(example_set, "preview/?input=horses&count=2&seed=1")).context["selection"].ways
    assert [e.pk for _, e, _ in again[1].examples] == [e.pk for _, e, _ in ways[1].examples]
    assert "seed takes a whole number" in as_bob.get(url(example_set, "preview/?seed=x")).content.decode()


def test_the_preview_for_a_prompt_is_what_the_prompt_does(as_bob, example_set, prompt, alice, base, real_tokenizer):
    version = prompt.save_version(
        alice, based_on=None, messages=[{"role": "user", "content": "Translate {{word}} into French, in one word."}],
        examples=example_set.newest, shots={"how": "budget", "count": 3, "budget": 60},
    )  # fmt: skip
    rendered = version.render({"word": "horses"}, count=base.prompt_tokens)
    page = as_bob.get(url(example_set, f"preview/?input=horses&prompt_version={version.pk}&model={base.pk}"))
    [own] = [way for way in page.context["selection"].ways if way.own]
    assert [e.pk for _, e, _ in own.examples] == [e.pk for e in rendered.examples]
    assert 0 < len(rendered.examples) < 3 and own.tokens <= 60


def test_an_include_in_the_question_is_part_of_the_examples_words(team, alice, example_set):
    Prompt.start(team=team, author=alice, name="tone", kind="text", messages=[{"role": "user", "content": "Be brief."}])
    outer = Prompt.start(
        team=team, author=alice, name="outer", messages=[{"role": "user", "content": "{{> tone@latest}} {{word}}"}],
        examples=example_set.newest, shots={"count": 1},
    )  # fmt: skip
    asked = [turn["content"] for turn in outer.versions.get().render({"word": "sea"}).messages]
    assert asked == ["Be brief. house", "maison", "Be brief. sea"]


def test_prompts_that_use_a_set_are_listed_and_updated_to_its_newest_version(as_bob, example_set, prompt, alice):
    version = prompt.save_version(
        alice,
        based_on=None,
        messages=[{"role": "user", "content": "{{word}}"}],
        examples=example_set.newest,
        shots={"count": 2},
    )
    example_set.add(alice, input="sea", output="mer")
    page = as_bob.get(url(example_set)).content.decode()
    assert "words/translate version 2" in page and f"Update to set version {example_set.latest}" in page
    as_bob.post(url(example_set, "use/"), {"prompt": prompt.pk})
    prompt.refresh_from_db()
    newest = prompt.versions.select_related("examples").get(number=prompt.latest)
    assert (newest.number, newest.examples, newest.shots) == (3, example_set.newest, version.shots)
    assert "Update to set version" not in as_bob.get(url(example_set)).content.decode()


# --- keeping


KEEP = "/t/lighthouse/examples/keep/"


@pytest.fixture
def reply(chat, alice):
    return answer(chat.send(alice, "What is a house?", parent=None, client_id="c" * 8), "A building.")


def test_a_chat_answer_is_kept_with_its_source(as_bob, reply, example_set, team):
    ask = {"source_kind": "message", "source_id": str(reply.pk)}
    shown = as_bob.get(KEEP, ask).content.decode()
    assert "What is a house?" in shown and "A building." in shown and "Words" in shown
    done = as_bob.post(KEEP, {**ask, "set": str(example_set.pk), "input": "What is a house?", "output": "Home."})
    assert "example 4" in done.content.decode()
    kept = example_set.newest.ordered() if example_set.refresh_from_db() is None else []
    assert (kept[3].output, kept[3].source_kind) == ("Home.", "message")
    source = as_bob.get(url(example_set, f"{kept[3].pk}/source/"))
    assert source.url.startswith(reply.chat.get_absolute_url()) and str(reply.pk) in source.url


def test_a_correction_goes_before_the_answer(as_bob, bob, reply):
    Feedback.objects.create(generation=reply.generation, user=bob, correction="A home.")
    page = as_bob.get(KEEP, {"source_kind": "message", "source_id": str(reply.pk)}).content.decode()
    assert "A home." in page and "corrected answer" in page


def test_keeping_into_a_new_set_or_none(as_bob, reply, example_set, team):
    ask = {"source_kind": "message", "source_id": str(reply.pk), "input": "typed", "output": "o"}
    none = as_bob.post(KEEP, ask)
    assert (
        none.status_code == 422
        and "Choose a set, or name a new one" in none.content.decode()
        and "typed" in none.content.decode()
    )
    assert as_bob.post(KEEP, {**ask, "new_set": "Words"}).status_code == 422  # taken
    empty = as_bob.post(KEEP, {**ask, "new_set": "Chats", "output": " "})
    assert empty.status_code == 422 and not ExampleSet.objects.filter(name="Chats").exists()
    as_bob.post(KEEP, {**ask, "new_set": "Chats"})
    assert words(ExampleSet.objects.get(name="Chats")) == [("typed", "o")]


def test_a_row_and_a_cell_are_kept(as_bob, team, alice, example_set, base, prompt):
    rows = Dataset.objects.create(team=team, author=alice, name="R", sha256="0" * 64, counts={"train": 1})
    row = rows.rows.create(
        position=0, split="train", messages=[{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]
    )
    as_bob.post(KEEP, {"source_kind": "row", "source_id": row.pk, "set": example_set.pk})
    grid = Grid.objects.create(team=team, author=alice, name="G")
    grid.columns.create(position=0, prompt_version=prompt.versions.get(), model=base)
    grid.inputs.create(position=0, values={"word": "sea"})
    run = grid.start_run(alice)
    cell = grid.columns.get().cells.get(run=run)
    cell.generation.__class__.objects.filter(pk=cell.generation.pk).update(text="mer")
    as_bob.post(KEEP, {"source_kind": "cell", "source_id": cell.pk, "set": example_set.pk})
    example_set.refresh_from_db()
    assert words(example_set)[3:] == [("q", "r"), ("sea", "mer")]
    assert example_set.newest.ordered()[4].values == {"word": "sea"}
    for example, part in zip(
        example_set.newest.ordered()[3:], (rows.get_absolute_url(), cell.get_absolute_url()), strict=True
    ):
        assert as_bob.get(url(example_set, f"{example.pk}/source/")).url.startswith(part)


def test_sources_and_sets_of_another_team_do_not_exist(as_charlie, as_bob, reply, example_set, charlie, other_team):
    ask = {"source_kind": "message", "source_id": str(reply.pk)}
    assert as_charlie.get("/t/harbour/examples/keep/", ask).status_code == 404
    theirs = ExampleSet.start(team=other_team, author=charlie, name="Theirs")
    assert as_bob.post(KEEP, {**ask, "set": theirs.pk, "input": "a", "output": "b"}).status_code == 404
    assert (
        as_bob.get(url(example_set, f"fields/?example={theirs.add(charlie, input='a', output='b').pk}")).status_code
        == 404
    )
    for kind, key in (("message", "x"), ("row", "9" * 30), ("cell", str(uuid4())), ("typed", "1")):
        assert as_bob.get(KEEP, {"source_kind": kind, "source_id": key}).status_code == 404


def test_a_viewer_reads_and_changes_nothing(as_dana, example_set, reply):
    page = as_dana.get(url(example_set)).content.decode()
    assert "maison" in page and "Save a version" not in page and "data-handle" not in page
    assert as_dana.post(url(example_set, "save/"), form(example_set)).status_code == 403
    assert as_dana.get(KEEP, {"source_kind": "message", "source_id": str(reply.pk)}).status_code == 403


def test_a_stale_save_of_the_model_stores_nothing(example_set, alice):
    with pytest.raises(Stale):
        example_set.save_slots(alice, [], based_on=1)
    assert len(words(example_set)) == 3
