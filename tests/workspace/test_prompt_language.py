"""The prompt language: variables, placeholders, includes, and types, without any database."""

from __future__ import annotations

import time

import pytest

from workspace.fewshot import Shots, pair
from workspace.prompts import Include, PromptError, checked_messages, fill, includes_in, variables_in
from workspace.variables import Variable, declared, parse_values


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def test_variables_are_listed_once_in_reading_order() -> None:
    messages = [{"role": "system", "content": "Answer in {{ language }}."}, user("{{question}} ({{language}})")]
    assert variables_in(messages) == ["language", "question"]


def test_a_value_that_looks_like_a_template_stays_as_it_was_typed() -> None:
    filled = fill([user("{{a}} and {{b}}")], {"a": "{{b}}", "b": "{{> secret}}"})
    assert filled == [user("{{b}} and {{> secret}}")]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(PromptError) as refused:
        fill([user("{{a}} {{b}} {{c}}")], {"b": "x"})
    assert refused.value.names == ("a", "c")


def test_braces_that_are_no_tag_are_text() -> None:
    text = 'f(x) = {{ 1 + 2 }} and {"a": {"b": 1}} and {{}} and {{ not a name }}'
    assert fill([user(text)], {}) == [user(text)]


@pytest.mark.parametrize("opened", ["{{>", "{{> a", "{{> a@", "{{", "{{ a"])
def test_a_tag_that_is_never_closed_costs_no_time(opened: str) -> None:
    began = time.process_time()
    assert variables_in([user(opened + " " * 400)]) == []
    assert time.process_time() - began < 1


def test_an_include_is_found_with_its_label_or_version_and_filled_with_the_same_values() -> None:
    messages = [user("{{> house/tone@staging}} {{question}}")]
    assert includes_in(messages) == [Include("house/tone", "staging")]
    texts = {Include("house/tone", "staging"): "Be {{mood}}."}
    assert fill(messages, {"mood": "kind", "question": "Why?"}, includes=texts) == [user("Be kind. Why?")]


def test_an_included_prompt_may_not_include_others() -> None:
    with pytest.raises(PromptError, match="may not include"):
        fill([user("{{> a}}")], {}, includes={Include("a"): "{{> b}}"})


def test_a_placeholder_takes_messages_and_their_text_is_final() -> None:
    messages = [{"type": "placeholder", "name": "history"}, user("{{q}}")]
    turns = [user("{{q}}"), {"role": "assistant", "content": "Yes."}]
    assert fill(messages, {"q": "And?"}, placeholders={"history": turns}) == [*turns, user("And?")]
    assert fill(messages, {"q": "And?"}) == [user("And?")]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "empty"),
        ([user("   ")], "empty"),
        ("text", "empty"),
        ([{"role": "tool", "content": "x"}], "bad_message"),
        ([{"role": "user"}], "bad_message"),
        ([{"type": "placeholder", "name": "not a name"}], "bad_message"),
        ([{"type": "placeholder", "name": "history"}] * 2 + [user("x")], "placeholder"),
        ([user("x" * 5_000_000)], "too_long"),
        ([user("x")] * 101, "too_long"),
        ([user(" ".join(f"{{{{v{i}}}}}" for i in range(101)))], "too_long"),
    ],
)
def test_what_is_no_prompt_is_refused(messages: object, code: str) -> None:
    with pytest.raises(PromptError) as refused:
        checked_messages(messages)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("kind", "typed", "text"),
    [
        ("text", "plain", "plain"),
        ("number", "1,000", "1000"),
        ("number", 2.5, "2.5"),
        ("boolean", "on", "yes"),
        ("boolean", False, "no"),
        ("date", "2026-11-30", "2026-11-30"),
        ("list", "a\n\n b ", "- a\n- b"),
        ("list", ["a", 1], "- a\n- 1"),
        ("json", '{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}'),
    ],
)
def test_a_typed_value_becomes_text(kind: str, typed: object, text: str) -> None:
    assert Variable.from_dict({"name": "v", "type": kind}).parse(typed) == text


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        ("number", "many"),
        ("number", True),
        ("boolean", "maybe"),
        ("date", "30.11.2026"),
        ("json", "{"),
        ("choice", "c"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(kind: str, typed: object) -> None:
    variable = Variable.from_dict({"name": "v", "type": kind, "choices": ["a", "b"]})
    with pytest.raises(PromptError) as refused:
        variable.parse(typed)
    assert (refused.value.code, refused.value.names) == ("bad_value", ("v",))


def test_all_unknown_and_all_missing_variables_are_named_at_once() -> None:
    known = declared([{"name": "b", "required": False}, {"name": "c", "default": "see"}], ["a", "b", "c", "d"])
    assert parse_values(known, {"a": "1", "d": "4"}) == {"a": "1", "b": "", "c": "see", "d": "4"}
    with pytest.raises(PromptError) as refused:
        parse_values(known, {})
    assert (refused.value.code, refused.value.names) == ("missing", ("a", "d"))
    with pytest.raises(PromptError) as refused:
        parse_values(known, {"a": "1", "d": "4", "x": "?", "y": "?"})
    assert (refused.value.code, refused.value.names) == ("unknown", ("x", "y"))


class Shot:
    def __init__(self, input: str, output: str = "out", **values: str) -> None:
        self.input, self.output, self.values = input, output, values


SHOTS = [Shot("one"), Shot("two"), Shot("three"), Shot("four")]


def chosen(how: str, query: str = "q", **numbers: int) -> list[str]:
    found = Shots.from_dict({"how": how, **numbers}).choose(
        SHOTS, query, nearest=lambda: [SHOTS[2], SHOTS[0], SHOTS[1], SHOTS[3]], cost=lambda shot: len(shot.input)
    )
    return [shot.input for shot in found]


def test_examples_are_chosen_as_asked() -> None:
    assert chosen("fixed", count=2) == ["one", "two"]
    assert chosen("similar", count=2) == ["one", "three"], "the nearest stands next to the question"
    assert chosen("budget", count=10, budget=10) == ["one", "two"]
    assert chosen("random", count=2, seed=1) == chosen("random", count=2, seed=1)
    assert len({tuple(chosen("random", count=2, seed=seed)) for seed in range(20)}) > 1
    assert len({tuple(chosen("random", query=str(query), count=2)) for query in range(20)}) > 1


def test_an_example_is_asked_in_the_prompts_own_words() -> None:
    assert pair(Shot("cat", "chat"), "Translate {{word}}!")[0]["content"] == "Translate cat!"
    assert pair(Shot("", "chat", word="cat", to="French"), "{{word}} in {{to}}")[0]["content"] == "cat in French"
    assert pair(Shot("cat", "chat"), "{{a}} {{b}}")[0]["content"] == "cat"


@pytest.mark.parametrize(
    ("kind", "value"), [("list", ["a\x00", "\ud800b"]), ("json", {"a": "\ud800"}), ("text", "a\x00\ud800")]
)
def test_a_value_holds_only_what_can_be_stored(kind: str, value: object) -> None:
    text = Variable("x", kind).parse(value)  # type: ignore[arg-type]
    assert "\x00" not in text
    assert text.encode()


def test_a_list_that_looks_like_deep_json_is_text() -> None:
    assert Variable("x", "list").parse("[" * 100_000) == "- " + "[" * 100_000


def test_choices_that_are_no_list_are_none() -> None:
    with pytest.raises(PromptError, match="without anything to choose"):
        Variable.from_dict({"name": "x", "type": "choice", "choices": 5})
