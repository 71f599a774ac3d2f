"""Answers by JSON Schema: which schemas can be used, what is said of an answer, and the one repair."""

import json
import time

import pytest

from jobs import structured
from jobs.ml.config import ConfigError, SamplingParams
from jobs.models import Generation
from jobs.structured import check, check_schema
from tests.jobs.on_cue import ended, submitted, until

TOWN = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "people": {"type": "integer", "minimum": 1}},
    "required": ["name", "people"],
    "additionalProperties": False,
}


def test_an_answer_by_its_schema_is_read():
    checked = check('{"name": "Oslo", "people": 7}', TOWN)
    assert (checked.value, checked.problem, checked.fenced) == ({"name": "Oslo", "people": 7}, "", False)


def test_a_fence_around_it_is_taken_off_and_said():
    checked = check('```json\n{"name": "Oslo", "people": 7}\n```\n', TOWN)
    assert (checked.value["name"], checked.problem, checked.fenced) == ("Oslo", "", True)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("", "empty"),
        ('Sure! {"name": "Oslo"}', "line 1, column 1, at “Sure!"),
        ('{"name": "Oslo", "people": 7} Enjoy!', "Something follows the JSON, in line 1, column 31: “Enjoy!”"),
        ('{"name": "Oslo",', "the text ends too early"),
        ('{"name": "Oslo"}', "At the top level: 'people' is a required property"),
        ('{"name": "Oslo", "people": "7"}', "At $.people: '7' is not of type 'integer'"),
        ('{"name": "oslo", "people": 7}', "At $.name: 'oslo' does not match"),
        ('{"name": "Oslo", "people": 7, "x": 1}', "'x' is not allowed here"),
        ('{"name": "Oslo", "people": 0}', "At $.people: 0 is less than the minimum"),
        ('{"name": "Oslo", "people": 1e999}', "number too large"),
        ('{"name": "Oslo", "people": NaN}', "number too large"),
        ("[" * 100_000, "nested too deep"),
        ("9" * 5_000, "too large"),
        ("[" + "1," * 500_000 + "1]", "longer than 1,000,000 characters"),
    ],
)
def test_what_is_wrong_and_where_is_a_sentence(answer, says):
    assert says in check(answer, TOWN).problem


def test_places_lead_into_lists():
    schema = {"properties": {"towns": {"items": TOWN}}}
    towns = [{"name": "A", "people": 1}, {"name": "B", "people": "x"}]
    assert "At $.towns[1].people" in check(json.dumps({"towns": towns}), schema).problem


def test_an_answer_that_was_cut_off_says_so_and_what_to_do():
    problem = check('{"name": "Os', TOWN, cut_off_at=12).problem
    assert "cut off" in problem and "12 tokens" in problem and "Allow more tokens" in problem
    assert check('{"name": "Oslo", "people": 7}', TOWN, cut_off_at=12).problem == ""


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "banana"}, "is not JSON Schema. At $.type"),
        ({"$ref": "http://example.com/x"}, "refers to http://example.com/x at $, which is not inside"),
        ({"$ref": "//example.com/x"}, "not inside"),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, "at $.properties.a, which is not inside"),
        ({"properties": {"a": {"$ref": "#/properties"}}}, "not inside"),
        ({"items": {"pattern": "(?=a)"}}, "pattern at $.items that cannot be used"),
        ({"patternProperties": {"(a)\\1": {}}}, "cannot be used"),
        ({"unevaluatedProperties": False}, "uses unevaluatedProperties at $"),
        ({"properties": {"a": {"$id": "b"}}}, "uses $id at $.properties.a"),
    ],
)
def test_a_schema_that_nothing_can_be_checked_by_is_refused(schema, says):
    with pytest.raises(ConfigError) as raised:
        check_schema(schema)
    assert says in str(raised.value) and raised.value.field == "json_schema"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        TOWN,
        {"$id": "https://example.com/town.json", "$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"},
        {"$defs": {"n": {"$anchor": "n", "type": "integer"}}, "$ref": "#n"},
        {"properties": {"unevaluatedProperties": {"type": "string"}, "$ref": {"type": "string"}}},
        {"$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
    ],
)
def test_ordinary_schemas_are_taken(schema):
    check_schema(schema)


def test_no_answer_and_no_schema_keeps_the_worker_busy():
    began = time.monotonic()
    pattern = {"type": "string", "pattern": "^(a+)+$"}
    names = {"type": "object", "patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}
    assert "does not match" in check(f'"{"a" * 5000}b"', pattern).problem
    assert "not allowed" in check(f'{{"{"a" * 5000}b": 1}}', names).problem
    doubling = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}
    endless = {"$defs": {**doubling, "a40": {"type": "integer"}}, "$ref": "#/$defs/a0"}
    assert "given up" in check("1", endless).problem
    assert "without end" in check("1", {"$ref": "#"}).problem
    mixed = [[i] for i in range(20_000)] + [{"a": 1}]
    check(json.dumps(mixed), {"uniqueItems": True})
    assert time.monotonic() - began < 4 * structured.SECONDS


def test_unique_means_unique_by_value():
    unique = {"uniqueItems": True}
    assert "twice" in check("[1, 1.0]", unique).problem
    assert check('[1, true, "1", [1], {"a": 1}]', unique).problem == ""


# The worker's part


def say(runner, opened, generation, *pieces, finish="stop"):
    until(runner, submitted(opened, generation))
    opened["one"][0].say(generation, *pieces, finish=finish)
    until(runner, ended(generation))


@pytest.mark.django_db(transaction=True)
class TestRepair:
    def test_the_schema_reaches_the_engine_and_a_good_answer_is_left_alone(self, runner, opened, ask):
        generation = ask(params={"json_schema": TOWN})
        assert generation.is_structured is None
        say(runner, opened, generation, '{"name": "Oslo", ', '"people": 7}')
        assert opened["one"][0].requests[str(generation.pk)].sampling.json_schema == TOWN
        assert (generation.schema_problem, generation.is_structured, generation.latest) == ("", True, generation)
        assert Generation.objects.count() == 1

    def test_a_wrong_answer_is_asked_for_once_more_with_what_is_wrong(self, runner, opened, ask):
        generation = ask(params={"json_schema": TOWN, "temperature": 0.0})
        say(runner, opened, generation, "Oslo, with 7 people")
        assert generation.is_structured is False and "not JSON" in generation.schema_problem
        repair = Generation.objects.get(repairs=generation)
        assert generation.latest == repair
        first, wrong, what = repair.messages
        assert first == {"role": "user", "content": "Hi"}
        assert wrong == {"role": "assistant", "content": "Oslo, with 7 people"}
        assert what["role"] == "user" and generation.schema_problem in what["content"] and "people" in what["content"]
        assert (repair.params, repair.model, repair.author, repair.purpose) == (
            generation.params, generation.model, generation.author, generation.purpose)  # fmt: skip
        say(runner, opened, repair, '{"name": "Oslo", "people": 7}')
        assert repair.is_structured is True

    def test_a_repair_is_not_repaired(self, runner, opened, ask):
        generation = ask(params={"json_schema": TOWN})
        say(runner, opened, generation, "no")
        repair = Generation.objects.get(repairs=generation)
        say(runner, opened, repair, "no, and no again")
        assert repair.schema_problem and Generation.objects.count() == 2

    def test_an_answer_cut_off_is_told_to_be_shorter(self, runner, opened, ask):
        generation = ask(params={"json_schema": TOWN})
        say(runner, opened, generation, '{"name": ', finish="length")
        assert "cut off at its longest (1 tokens)" in generation.schema_problem
        assert "cut off" in generation.latest.messages[-1]["content"]

    def test_a_program_gets_what_was_generated_and_what_is_wrong_with_it(self, runner, opened, team, alice, base):
        generation = Generation.ask(
            team=team, author=alice, purpose="api", model=base, adapter=None,
            messages=[{"role": "user", "content": "Hi"}], params={"json_schema": TOWN},
        )  # fmt: skip
        say(runner, opened, generation, "no")
        assert generation.schema_problem and Generation.objects.count() == 1

    def test_an_answer_that_was_stopped_is_not_judged(self, runner, opened, ask):
        generation = ask(params={"json_schema": TOWN})
        until(runner, submitted(opened, generation))
        opened["one"][0].say(generation, "half")
        generation.request_cancel()
        until(runner, ended(generation))
        assert (generation.schema_problem, generation.is_structured) == ("", None)
        assert Generation.objects.count() == 1

    def test_stopping_an_answer_stops_its_repair(self, runner, opened, ask):
        generation = ask(params={"json_schema": TOWN})
        say(runner, opened, generation, "no")
        assert Generation.objects.get(pk=generation.pk).request_cancel()
        until(runner, ended(Generation.objects.get(repairs=generation)))
        assert generation.latest.state == "cancelled"
        assert not Generation.objects.get(pk=generation.pk).request_cancel()

    def test_a_worker_that_lost_the_reply_asks_for_no_repair(self, runner, opened, ask):
        generation = ask(params={"json_schema": TOWN})
        until(runner, submitted(opened, generation))
        Generation.objects.filter(pk=generation.pk).update(fence=99)
        opened["one"][0].say(generation, "no", finish="stop")
        until(runner, lambda: not runner.replies)
        assert Generation.objects.count() == 1

    def test_a_problem_that_cannot_be_stored_as_it_is_still_ends_the_reply(self, runner, opened, ask):
        generation = ask(params={"json_schema": TOWN})
        say(runner, opened, generation, '{"\\u0000\\ud800": 1}')
        assert "not allowed" in generation.schema_problem or "required" in generation.schema_problem

    def test_a_schema_that_cannot_be_used_is_refused_when_asked(self, ask):
        with pytest.raises(ConfigError, match="not inside the schema"):
            ask(params={"json_schema": {"$ref": "https://example.com/s"}})
        assert not Generation.objects.exists()


def test_a_block_that_is_never_closed_costs_no_time() -> None:
    began = time.process_time()
    for text in ("```json\n" + " " * 40_000 + "x", "```\n" + "\n" * 40_000 + "x", "```\n" + "``` " * 10_000 + "x"):
        assert structured.check(text, {"type": "object"}).problem
    assert time.process_time() - began < 1


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf")], ids=["high", "low", "nan", "inf"])
def test_a_number_beyond_all_bounds_is_a_parameter_out_of_bounds(value):
    with pytest.raises(ConfigError, match="must be between"):
        SamplingParams(temperature=value)
