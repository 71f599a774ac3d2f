"""Answers by JSON Schema (Draft 2020-12): can this schema be checked by, and is that answer JSON by it?

Schemas and answers are strangers' texts, so nothing here reaches out or goes on without end: references stay inside the
schema, patterns run in linear time, and a check gives up after `SECONDS`. It does not know who asked, nor how the answer
was made; engines that can keep to a schema while decoding do so by themselves (jobs/ml/engines).
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NoReturn

from jobs.ml.config import ConfigError, check_schema_size
from jobs.ml.config import json_kept as json_kept

OPENING = re.compile(r"```[a-zA-Z0-9]*")
MAX_ANSWER = 1_000_000  # characters
SECONDS = 0.5
CUT_OFF = "The answer was cut off at its longest ({tokens:,} tokens) before its JSON was complete. Allow more tokens, or ask for less."

ONE = ("not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames")
MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
REFUSED = ("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef")


Keyword = Callable[[Any, Any, Any, Any], Any]


class _GivenUp(Exception):
    """The check has run for `SECONDS`."""


@dataclass(frozen=True)
class Checked:
    """What an answer is: `value` as read (None where it is no JSON), and `problem`, what is wrong and where; empty if it
    follows its schema. `fenced`: the JSON stood in a ``` block, which was taken off."""

    value: Any = None
    problem: str = ""
    fenced: bool = False


def check_schema(schema: Any) -> None:
    """Raises ConfigError, a sentence, for a schema that answers cannot be checked by."""
    check_schema_size(schema)
    if problem := _fault(json.dumps(schema)):
        raise ConfigError("json_schema", problem)


def schema_problem(schema: Any) -> str:
    """The same as a sentence; empty if answers can be checked by it."""
    try:
        check_schema(schema)
    except ConfigError as error:
        return str(error)
    return ""


def check(text: str, schema: Mapping[str, Any], *, cut_off_at: int = 0) -> Checked:
    """Read `text` as JSON by `schema`. `cut_off_at` is the number of tokens at which the answer was cut off, if it was.
    The schema is one that `check_schema` lets through."""
    body = unfenced(text)
    fenced = body is not text
    if len(text) > MAX_ANSWER:
        return Checked(problem=f"The answer is longer than {MAX_ANSWER:,} characters, so it was not checked.")
    try:
        value = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        if cut_off_at:
            return Checked(problem=CUT_OFF.format(tokens=cut_off_at))
        return Checked(problem=_not_json(body, error), fenced=fenced)
    except (ValueError, RecursionError):  # a number too large to read, or a nesting too deep
        return Checked(problem="The answer holds a number too large, or is nested too deep, to be read as JSON.")
    return Checked(value, _against(value, schema), fenced)


def unfenced(text: str) -> str:
    """What stands in the ``` block that `text` is, where it is one; else `text` itself."""
    bare = text.strip()
    opening, line_end, rest = bare.partition("\n")
    if not line_end or not rest.endswith("```") or not OPENING.fullmatch(opening.rstrip(" \t\r")):
        return text
    return rest.removesuffix("```").rstrip(" \t").removesuffix("\n")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


def _not_json(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return "The answer is empty, where JSON was asked for."
    if error.msg == "Extra data":
        return (
            f"Something follows the JSON, in line {error.lineno}, column {error.colno}: {_quoted(text[error.pos :])}."
        )
    what = error.msg[0].lower() + error.msg[1:]
    here = text[error.pos :]
    found = f", at {_quoted(here)}" if here.strip() else ": the text ends too early"
    return f"The answer is not JSON: {what} in line {error.lineno}, column {error.colno}{found}."


def _quoted(text: str) -> str:
    text = " ".join(text[:80].split())
    return f"“{text[:40]}{'…' if len(text) > 40 else ''}”"


def _against(value: Any, schema: Mapping[str, Any]) -> str:
    """Where `value` does not follow `schema`; empty if it does."""
    from jsonschema.exceptions import best_match
    from referencing import Registry

    _until.set(time.monotonic() + SECONDS)
    try:
        error = best_match(_validator_class()(schema, registry=Registry()).iter_errors(value))
    except _GivenUp:
        return (
            f"Checking the answer by its schema took longer than {SECONDS:g} s and was given up. Simplify the schema."
        )
    except RecursionError:
        return "The answer is nested too deep, or the schema refers to itself without end, so it was not checked."
    except OverflowError:
        return "The answer holds a number too large to be checked."
    if error is None:
        return ""
    message = error.message  # what was found, then what is wrong with it
    if len(message) > 300:
        message = f"{message[:100]} … {message[-190:]}"
    return f"{_place(error.absolute_path)}: {message}."


def _place(path: Any) -> str:
    """`At $.towns[2].name`, as JSONPath writes it."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{str(step)[:40]}" for step in path)
    return f"At ${steps}" if steps else "At the top level"


# The schema itself


@lru_cache(maxsize=64)
def _fault(text: str) -> str:
    """What is wrong with the schema written in `text`; empty if nothing."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import NoSuchResource, Unresolvable
    from referencing.jsonschema import DRAFT202012

    schema = json.loads(text)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"The answer's schema is not JSON Schema. {_place(error.absolute_path)}: {error.message[:300]}."
    parts = list(_parts(schema, "$"))
    inside = {id(part) for _, part in parts}
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for place, part in parts:
        unknown = [name for name in REFUSED if name in part] + (["$id"] if "$id" in part and part is not schema else [])
        if unknown:
            return f"The answer's schema uses {unknown[0]} at {place}, which is not supported here. Leave it out."
        if "$ref" in part:
            try:
                found = resolver.lookup(part["$ref"]).contents
            except (Unresolvable, NoSuchResource):
                found = None
            if not isinstance(found, bool) and id(found) not in inside:
                return f"The answer's schema refers to {part['$ref'][:100]} at {place}, which is not inside the schema."
        patterns = [part["pattern"]] if "pattern" in part else []
        for pattern in [*patterns, *part.get("patternProperties", ())]:
            if problem := _pattern_problem(pattern):
                return f"The answer's schema has a pattern at {place} that cannot be used: {problem}"
    return ""


def _parts(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`schema` and every schema inside it, with where it stands."""
    if not isinstance(schema, dict):
        return
    yield place, schema
    for name in ONE:
        yield from _parts(schema.get(name), f"{place}.{name}")
    for name in MANY:
        for index, inner in enumerate(schema.get(name, ())):
            yield from _parts(inner, f"{place}.{name}[{index}]")
    for name in NAMED:
        for key, inner in schema.get(name, {}).items():
            yield from _parts(inner, f"{place}.{name}.{key}")


def _pattern_problem(pattern: str) -> str:
    from pydantic_core import SchemaError

    try:
        _searcher(pattern)
    except SchemaError:
        return f"{_quoted(pattern)} is not a regular expression, or looks around or back. Write it without."
    return ""


@lru_cache(maxsize=256)
def _searcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text contains `pattern`, by an engine that takes linear time: Python's own can take for ever."""
    from pydantic_core import SchemaValidator, core_schema

    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).isinstance_python


# The validator: jsonschema's, under a deadline, without its regular expressions and its quadratic comparison

_until: ContextVar[float] = ContextVar("_until")


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    ours = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    keywords = {name: _timed(keyword) for name, keyword in {**Draft202012Validator.VALIDATORS, **ours}.items()}
    return extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]


def _timed(keyword: Keyword) -> Keyword:
    def run(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if time.monotonic() > _until.get():
            raise _GivenUp
        yield from keyword(validator, value, instance, schema) or ()

    return run


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not _searcher(pattern)(instance):
        yield _error(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: dict[str, Any], instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, inner in patterns.items():
            for name in filter(_searcher(pattern), instance):
                yield from validator.descend(instance[name], inner, path=name, schema_path=pattern)


def _additional_properties(validator: Any, inner: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    patterns = [_searcher(pattern) for pattern in schema.get("patternProperties", {})]
    extra = [name for name in instance if name not in known and not any(matches(name) for matches in patterns)]
    if inner is False and extra:
        yield _error(f"{', '.join(map(repr, extra[:5]))} {'is' if len(extra) == 1 else 'are'} not allowed here")
    elif inner is not True:
        for name in extra:
            yield from validator.descend(instance[name], inner, path=name)


def _unique_items(validator: Any, unique: bool, instance: Any, schema: Any) -> Iterator[Any]:
    if unique and isinstance(instance, list):
        seen = {json.dumps(_by_value(item), sort_keys=True) for item in instance}
        if len(seen) < len(instance):
            yield _error("some items are there twice")


def _by_value(item: Any) -> Any:
    """1 and 1.0 are one number in JSON Schema."""
    if isinstance(item, float) and item.is_integer():
        return int(item)
    if isinstance(item, list):
        return [_by_value(inner) for inner in item]
    return {name: _by_value(inner) for name, inner in item.items()} if isinstance(item, dict) else item


def _error(message: str) -> Exception:
    from jsonschema import ValidationError

    return ValidationError(message)
