"""What examples cost, and which of them a prompt takes."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.ml.template import load_template
from tests.stack import prepared_models
from tests.workspace.conftest import set_url
from workspace.examples import Texts
from workspace.models import ExampleSet, Prompt


@pytest.fixture
def real_tokenizer(settings, base):
    settings.STUDIO_MODELS = prepared_models()
    return load_template(str(base.path))


def test_tokens_are_what_an_example_adds_to_a_prompt(as_bob, example_set, base, real_tokenizer):
    page = as_bob.get(set_url(example_set))
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
    page = as_bob.get(set_url(example_set))
    assert page.context["total"] == 9  # 11, 11 and 9 characters by four, each rounded up
    assert "four characters to a token" in page.content.decode()


def test_a_set_of_two_thousand_opens_with_as_many_queries_as_one_of_three(
    as_bob, example_set, alice, base, real_tokenizer
):
    as_bob.get(set_url(example_set))
    with CaptureQueriesContext(connection) as few:
        as_bob.get(set_url(example_set))
    example_set.add_many(alice, [Texts(f"word {n}", f"mot {n}") for n in range(1997)], note="many")
    as_bob.get(set_url(example_set))  # counts once
    with CaptureQueriesContext(connection) as many:
        page = as_bob.get(set_url(example_set))
    assert len(many) <= len(few)
    assert len(page.context["listing"].rows) == 50 and page.context["listing"].pages == 40
    assert "Page 40 of 40" in as_bob.get(set_url(example_set, "?page=99")).content.decode()


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


def test_the_preview_shows_what_each_way_takes(as_bob, example_set, base):
    ways = as_bob.get(set_url(example_set, "preview/?input=horses&count=2&seed=1&budget=4")).context["selection"].ways
    taken = {way.how: [example.input for _, example, _ in way.examples] for way in ways}
    assert taken["fixed"] == ["house", "horse"]
    assert taken["similar"][-1] == "horse"  # the most similar stands last, next to the question
    assert taken["budget"] == ["house"]  # 3 tokens, and 1 left
    assert len(taken["random"]) == 2
    again = as_bob.get(set_url(example_set, "preview/?input=horses&count=2&seed=1")).context["selection"].ways
    assert [e.pk for _, e, _ in again[1].examples] == [e.pk for _, e, _ in ways[1].examples]
    assert "seed takes a whole number" in as_bob.get(set_url(example_set, "preview/?seed=x")).content.decode()


def test_the_preview_for_a_prompt_is_what_the_prompt_does(as_bob, example_set, prompt, alice, base, real_tokenizer):
    version = prompt.save_version(
        alice, based_on=None, messages=[{"role": "user", "content": "Translate {{word}} into French, in one word."}],
        examples=example_set.newest, shots={"how": "budget", "count": 3, "budget": 60},
    )  # fmt: skip
    rendered = version.render({"word": "horses"}, count=base.prompt_tokens)
    page = as_bob.get(set_url(example_set, f"preview/?input=horses&prompt_version={version.pk}&model={base.pk}"))
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
    page = as_bob.get(set_url(example_set)).content.decode()
    assert "words/translate version 2" in page and f"Update to set version {example_set.latest}" in page
    as_bob.post(set_url(example_set, "use/"), {"prompt": prompt.pk})
    prompt.refresh_from_db()
    newest = prompt.versions.select_related("examples").get(number=prompt.latest)
    assert (newest.number, newest.examples, newest.shots) == (3, example_set.newest, version.shots)
    assert "Update to set version" not in as_bob.get(set_url(example_set)).content.decode()
