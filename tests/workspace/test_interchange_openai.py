"""What people can copy of a prompt at OpenAI, read."""

from __future__ import annotations

import json

from tests.workspace.foreign import PYTHON, only
from workspace.interchange import openai


def test_an_openai_snippet_becomes_another_name() -> None:
    draft = only(openai.read(PYTHON))
    assert (draft.alias, draft.messages, draft.number) == ("pmpt_68ab01", [], 2)
    assert [spec["name"] for spec in draft.variables] == ["city", "days"]
    assert any("hands out no text" in note for note in draft.notes)


def test_an_openai_prompt_with_its_text_is_a_prompt() -> None:
    whole = {
        "id": "pmpt_1", "name": "Weather", "version": "4", "model": "gpt-4o", "max_output_tokens": 200,
        "instructions": "You know the weather of {{city}}.",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "How is it?"}]}],
        "variables": {"city": "Rome"},
    }  # fmt: skip
    draft = only(openai.read(json.dumps(whole)))
    assert draft.messages == [
        {"role": "system", "content": "You know the weather of {{city}}."}, {"role": "user", "content": "How is it?"},
    ]  # fmt: skip
    assert (draft.alias, draft.name, draft.config) == ("pmpt_1", "Weather", {"model": "gpt-4o", "max_tokens": 200})
