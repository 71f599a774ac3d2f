"""Langfuse's JSON, read: one prompt, lists of them, pages of the API; the bad one named and the others kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.workspace.foreign import LANGFUSE, drafts, only
from workspace.interchange import langfuse
from workspace.interchange.drafts import Draft, Problem, Refused


def test_langfuse_chat() -> None:
    draft = only(langfuse.read(json.dumps(LANGFUSE)))
    assert draft.messages == [
        {"role": "system", "content": "{{> tone}} Be a {{level}} critic."},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": "Do you like {{movie}}? {{> rules@2}}"},
    ]
    assert (draft.name, draft.kind, draft.labels, draft.tags) == (
        "support/movie-critic",
        "chat",
        ["production"],
        ["movies"],
    )
    assert (draft.config, draft.note, draft.number) == ({"model": "gpt-4o", "temperature": 0.5}, "Softer", 3)


def test_langfuse_lists_pages_and_lines_and_versions_in_order() -> None:
    two = [
        {"name": "a", "type": "text", "prompt": "second {{x}}", "version": 2},
        {"name": "a", "prompt": "first {{x}}", "version": 1},
    ]
    for text in (json.dumps(two), json.dumps({"data": two, "meta": {}}), "\n".join(map(json.dumps, two))):
        assert [(draft.text, draft.kind) for draft in drafts(langfuse.read(text))] == [
            ("first {{x}}", "text"), ("second {{x}}", "text"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"prompt": "no name"}, "no name"),
        ({"name": "meta-only", "labels": []}, "field prompt is missing"),
        ({"name": "x", "type": "chat", "prompt": "a text"}, "type is chat"),
        ({"name": "x", "prompt": [{"role": "tool", "content": "r"}]}, "role 'tool'"),
        ({"name": "x", "prompt": [{"role": "user", "content": [{"type": "image_url"}]}]}, "holds image_url"),
        ({"name": "x", "prompt": ""}, "empty"),
        ({"name": "x", "prompt": "a @@@langfusePrompt:oops@@@"}, "cannot be read"),
        ("nonsense", "not an object"),
    ],
)
def test_one_bad_langfuse_prompt_is_named_and_the_others_stay(raw: Any, reason: str) -> None:
    reading = langfuse.read(json.dumps([{"name": "good", "prompt": "fine"}, raw]))
    good, bad = sorted(reading.items, key=lambda item: item.where)
    assert isinstance(good, Draft)
    assert isinstance(bad, Problem)
    assert bad.where == "prompt 2"
    assert reason in bad.why


def test_more_than_a_thousand_prompts_are_too_many() -> None:
    with pytest.raises(Refused, match="1,000"):
        langfuse.read(json.dumps([{"name": f"p{number}", "prompt": "x"} for number in range(1001)]))
