"""Dotprompt without helpers, read; each helper refused by its name."""

from __future__ import annotations

import pytest

from tests.workspace.foreign import DOTPROMPT, only, why
from workspace.interchange import dotprompt


def test_dotprompt_without_helpers() -> None:
    draft = only(dotprompt.read(DOTPROMPT))
    assert draft.messages == [
        {"role": "system", "content": "Greet in the style {{style}}."},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": "I am {{name}}, {{age}}. {{> house/rules}} {{tags}}"},
    ]
    assert (draft.name, draft.config) == ("greeting.formal", {"temperature": 0.7, "model": "googleai/gemini-1.5-flash"})
    assert {spec["name"]: (spec["type"], spec["required"], spec["default"]) for spec in draft.variables} == {
        "name": ("text", True, "Guest"),
        "style": ("choice", False, ""),
        "tags": ("list", True, ""),
        "age": ("number", False, ""),
    }
    assert draft.schema == {
        "type": "object",
        "properties": {
            "greeting": {"type": "string", "description": "the greeting"},
            "level": {"type": ["number", "null"]},
        },
        "required": ["greeting"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("tag", "named"),
    [
        ("{{#if premium}}a{{/if}}", "block {{#if}}"),
        ("{{#each items}}{{this}}{{/each}}", "block {{#each}}"),
        ("{{json data indent=2}}", "helper json"),
        ("{{media url=image}}", "helper media"),
        ("{{section \"code\"}}", "helper section"),
        ("{{> card title=name}}", "partial"),
        ("{{@auth.uid}}", "{{@auth.uid}}"),
        ("{{{raw}}}", "two braces"),
        ("\\{{literal}}", "escape"),
        ("{{role \"tool\"}}x", "role 'tool'"),
    ],
)  # fmt: skip
def test_dotprompt_helpers_are_refused_by_name(tag: str, named: str) -> None:
    assert named in why(dotprompt.read(f"---\nname: x\n---\nHello {tag}"))


def test_dotprompt_speaks_as_the_user_first_and_as_the_model_after_the_history() -> None:
    draft = only(dotprompt.read('Hello {{name}}\n{{history}}\nSure.\n{{role "model"}}\nAgain.'))
    assert [message.get("role", "history") for message in draft.messages] == [
        "user",
        "history",
        "assistant",
        "assistant",
    ]
