"""JSON by a schema: what a schema may be, and which tokens it allows, one after the other."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from jobs.ml.config import ConfigError, SamplingParams
from jobs.ml.engines.constrained import Schemas
from jobs.ml.template import load_template


@pytest.fixture(scope="module")
def schemas(base_dir: Path) -> Schemas:
    return Schemas(load_template(str(base_dir)).tokenizer, {0, 2})


def allowed(bits: bytes | None) -> set[int]:
    assert bits is not None
    return {8 * at + place for at, byte in enumerate(bits) for place in range(8) if byte >> place & 1}


def test_each_token_is_one_that_the_schema_allows_and_then_only_the_end(base_dir: Path, schemas: Schemas) -> None:
    tokenizer = load_template(str(base_dir)).tokenizer
    answer = schemas.begin(
        {"properties": {"n": {"enum": [7]}}, "required": ["n"], "additionalProperties": False, "type": "object"}
    )
    assert answer is not None
    ids = tokenizer.encode('{"n": 7}', add_special_tokens=False).ids
    for written in range(len(ids)):
        may = allowed(answer.allowed(ids[:written]))
        assert ids[written] in may
        assert not may & {0, 2}
    assert allowed(answer.allowed(ids)) == {0, 2}


def test_where_json_may_end_or_go_on_both_are_allowed(base_dir: Path, schemas: Schemas) -> None:
    tokenizer = load_template(str(base_dir)).tokenizer
    answer = schemas.begin({"type": "integer"})
    assert answer is not None
    digits = {tokenizer.token_to_id(digit) for digit in "0123456789"}
    assert allowed(answer.allowed(tokenizer.encode("12", add_special_tokens=False).ids)) == {0, 2} | digits


def test_two_answers_by_one_schema_do_not_know_each_other(base_dir: Path, schemas: Schemas) -> None:
    tokenizer = load_template(str(base_dir)).tokenizer
    one, other = schemas.begin({"enum": ["a"]}), schemas.begin({"enum": ["a"]})
    assert one is not None
    assert other is not None
    start = allowed(other.allowed([]))
    assert allowed(one.allowed(tokenizer.encode('"a"', add_special_tokens=False).ids)) == {0, 2}
    assert allowed(other.allowed([])) == start != {0, 2}


@pytest.mark.parametrize("schema", [{"type": "string", "pattern": "^(?=a)b$"}, {"type": "nothing"}, {"$ref": "#/no"}])
def test_a_schema_that_cannot_be_built_is_none(schemas: Schemas, schema: dict) -> None:
    assert schemas.begin(schema) is None


def test_a_schema_without_a_first_token_allows_anything_to_the_end(
    schemas: Schemas, capfd: pytest.CaptureFixture
) -> None:
    answer = schemas.begin({"$ref": "#"})
    assert answer is not None
    assert [answer.allowed([]), answer.allowed([500]), answer.allowed([500, 2])] == [None] * 3
    assert capfd.readouterr() == ("", "")


def test_a_schema_cannot_change_how_it_is_read(schemas: Schemas) -> None:
    answer = schemas.begin({"enum": [1], "x-guidance": {"whitespace_pattern": "x+", "lenient": "maybe"}})
    assert answer is not None
    assert allowed(answer.allowed([])) == allowed(schemas.begin({"enum": [1]}).allowed([]))


# --- in sampling parameters ---


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ([1], "must be a JSON object"),
        ({"a": {1}}, "JSON cannot carry"),
        ({"a": float("nan")}, "JSON cannot carry"),
        ({"a": "\ud800"}, "JSON cannot carry"),
        ({"a": "x" * 20_000}, "at most 20,000 characters"),
        (functools.reduce(lambda inner, _: {"not": inner}, range(33), {}), "nested deeper"),
        (functools.reduce(lambda inner, _: {"l": inner, "r": inner}, range(31), {"a": 1}), "too large"),
    ],
)
def test_a_schema_that_is_no_json_or_too_large_is_refused_by_name(schema: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        SamplingParams.from_dict({"json_schema": schema})
    assert raised.value.field == "json_schema"


def test_sampling_with_a_schema_is_still_a_value() -> None:
    one, same, other = (SamplingParams(json_schema={"type": kind}) for kind in ("object", "object", "array"))
    assert one == same != other
    assert hash(one) == hash(same)
