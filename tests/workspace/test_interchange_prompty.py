"""Microsoft's .prompty of both kinds, read."""

from __future__ import annotations

import pytest

from tests.workspace.foreign import LEGACY_PROMPTY, only, why
from workspace.interchange import prompty


def test_prompty_of_the_first_kind() -> None:
    draft = only(prompty.read(LEGACY_PROMPTY))
    assert draft.messages == [
        {"role": "system", "content": "You help {{firstName}} {{lastName}}."},
        {"type": "placeholder", "name": "chat_history"},
        {"role": "user", "content": "{{question}}"},
    ]
    assert draft.config == {"model": "gpt-35-turbo", "temperature": 0.7, "max_tokens": 500}
    said = {spec["name"]: (spec["default"], spec["help"]) for spec in draft.variables}
    assert said == {"firstName": ("", "The first name"), "lastName": ("Doe", ""), "question": ("", "For example: Why?")}
    assert any("endpoint, keys" in note for note in draft.notes)
    assert "sk-secret" not in repr(draft)


def test_prompty_of_the_second_kind() -> None:
    draft = only(
        prompty.read(
            """---
name: threaded
model:
  id: gpt-4
  options: {maxOutputTokens: 512}
inputs:
  - {name: question, kind: string, default: Hello}
  - {name: level, kind: string, enumValues: [low, high], required: false}
  - {name: conversation, kind: thread}
outputs:
  - {name: city, kind: string, description: The city}
  - {name: degrees, kind: float}
---
You are helpful.

{{conversation}}

user:
{{question}} {{level}}
"""
        )
    )
    assert [message.get("role", message.get("name")) for message in draft.messages] == [
        "system",
        "conversation",
        "user",
    ]
    assert [(spec["name"], spec["type"], spec["required"]) for spec in draft.variables] == [
        ("question", "text", True), ("level", "choice", False),
    ]  # fmt: skip
    assert draft.config == {"model": "gpt-4", "max_tokens": 512}
    assert draft.schema == {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "The city"}, "degrees": {"type": "number"}},
        "required": ["city", "degrees"],
    }


@pytest.mark.parametrize("code", ["{% if x %}a{% endif %}", "{{ name | upper }}", "{{#list}}a{{/list}}", "{{{raw}}}"])
def test_prompty_template_code_is_refused_by_name(code: str) -> None:
    reason = why(prompty.read(f"---\nname: x\n---\nuser:\n{code}\n"))
    assert "template code" in reason
    assert code[:8] in reason
