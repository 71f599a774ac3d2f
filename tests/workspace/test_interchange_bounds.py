"""Files from strangers: read within bounds, and taken or refused with a reason whatever stands in them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from workspace.interchange import detect
from workspace.interchange.bounded import load_json, load_yaml
from workspace.interchange.drafts import Draft, Refused

LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "aliases are written out"),
        ("a: &a [*a]", "contains itself"),
        ("[" * 5000, "levels deep"),
        ("a: !!python/object/apply:os.system [ls]", "YAML"),
        ("a: !!binary aGVsbG8=", "bytes"),
        ("a: .nan", "not a number"),
        ("a: [1", "line"),
        ("x: " + "y" * (5 * 2**20), "5 MiB"),
        ("a: 1\n" + "- &a x\n" * 0 + "b: [" + "".join(f"&n{i} x, *n{i}, " for i in range(300)) + "]", "aliases"),
    ],
    ids=["billion-laughs", "circle", "deep", "object", "binary", "nan", "broken", "large", "many-aliases"],
)
def test_yaml_from_strangers_is_read_within_bounds(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        load_yaml(text)


def test_yaml_and_json_give_only_what_can_be_kept() -> None:
    assert load_yaml("base: &b {x: 1}\nmore: {<<: *b, y: 2}") == {"base": {"x": 1}, "more": {"x": 1, "y": 2}}
    assert load_yaml("day: 2026-11-25") == {"day": "2026-11-25"}
    assert load_json('"a\\u0000b\\ud800"') == "ab"
    for text in ("[" * 100_000, "NaN", "{", "1" * 10_000):
        with pytest.raises(Refused):
            load_json(text)


VARIABLE = {"name": "tone", "type": "choice", "choices": ["warm"], "required": False, "default": "", "help": "How"}
STUDIO = {
    "variables": [VARIABLE], "schema": {"type": "object"}, "tags": ["a"], "labels": ["b"], "description": "d",
    "note": "n", "placeholders": {"1": "history"}, "kind": "text", "version": 3,
}  # fmt: skip
INPUT = {"name": "tone", "type": "string", "enum": ["warm"], "default": "warm", "required": True, "sample": "x"}
WHOLE: dict[str, Any] = {
    "langfuse": [{
        "name": "a", "type": "chat", "prompt": [{"role": "user", "content": "Hi {{tone}}"}, {"type": "placeholder", "name": "h"}],
        "tags": ["a"], "labels": ["b"], "version": 2, "config": {"temperature": 1, "studio": STUDIO}, "commitMessage": "c",
    }],
    "openai": {
        "id": "pmpt_1", "name": "a", "version": "1", "model": "m", "max_output_tokens": 3, "variables": {"tone": "warm"},
        "instructions": "i", "messages": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "response_format": {"json_schema": {"schema": {"type": "object"}}},
    },
    "promptfoo": {
        "description": "d", "prompts": [{"label": "a", "raw": "Hi {{tone}}", "config": {"studio": STUDIO}}],
        "providers": [{"id": "p", "config": {"temperature": 1}}],
        "defaultTest": {"vars": {"tone": "warm"}, "options": {"transform": "x"}, "assert": [{"type": "python"}]},
        "tests": [{"vars": {"tone": "warm"}, "assert": [{"type": "equals", "value": "x"}, {"type": "assert-set", "assert": []}]}],
    },
    "prompty": {
        "name": "a", "description": "d", "tags": ["t"], "metadata": {"tags": ["t"], "studio": STUDIO},
        "model": {"id": "m", "configuration": {"azure_deployment": "x"}, "options": {
            "temperature": 1, "response_format": {"json_schema": {"schema": {"type": "object"}}},
            "additionalProperties": {"a": 1}}},
        "inputs": {"tone": INPUT, "history": [{"role": "user"}]},
        "outputs": {"properties": {"a": {"kind": "array", "items": {"kind": "string"}, "enumValues": ["x"]}}},
    },
    "dotprompt": {
        "name": "a", "variant": "v", "model": "m", "config": {"temperature": 1}, "metadata": {"studio": STUDIO},
        "input": {"schema": {"tone?": "string, how", "mood(enum)": ["a"], "(*)": "any"}, "default": {"tone": "warm"}},
        "output": {"format": "json", "schema": {"type": "object", "properties": {"a": INPUT}}},
    },
    "markdown": {"format": "llm-studio-prompt", "name": "a", **STUDIO, "config": {"temperature": 1}},
}  # fmt: skip
BODIES = {"prompty": "system:\nHi {{tone}}", "dotprompt": "Hi {{tone}}", "markdown": "## user <!-- message -->\n\nHi"}
STRANGE: list[Any] = [
    5,
    -1.5,
    True,
    None,
    "x",
    "",
    "²",
    "9" * 5000,
    [],
    [5],
    [[]],
    {},
    {"name": 5},
    {"²": 5},
    {"9" * 30: "x"},
]


def with_strange_parts(value: Any) -> Iterator[Any]:
    """The value with one part after another replaced by what nobody expects there."""
    yield from STRANGE
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        for other in with_strange_parts(value[key]):
            copy = value.copy()
            copy[key] = other
            yield copy


@pytest.mark.parametrize("format_", WHOLE)
def test_whatever_stands_in_a_field_is_taken_or_refused_with_a_reason(format_: str) -> None:
    for strange in with_strange_parts(WHOLE[format_]):
        text = json.dumps(strange)
        if format_ in BODIES:
            text = f"---\n{text}\n---\n{BODIES[format_]}"
        try:
            items = detect.read(text, "", format_).reading.items
        except Refused:
            continue
        assert all(isinstance(spec["name"], str) for item in items if isinstance(item, Draft) for spec in item.typed)


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("dotprompt", "{{" * 12_000), ("dotprompt", "{{!--" * 12_000), ("promptfoo", "prompts: ['{{" + "|" * 20_000 + "']"),
        ("prompty", "{{" + "|" * 20_000), ("prompty", " " * 20_000 + "x"), ("prompty", "{%for a in b%}" + " " * 20_000),
        ("openai", "pmpt_a variables={" * 2000),
    ],
)  # fmt: skip
def test_what_is_never_closed_costs_no_time(format_: str, text: str) -> None:
    began = time.process_time()
    with suppress(Refused):
        detect.read(text, "", format_)
    assert time.process_time() - began < 1
