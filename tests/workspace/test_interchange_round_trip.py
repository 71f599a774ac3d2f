"""Prompts written in each format and read again: the same, and what a format cannot hold is said in its head."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workspace.foreign import only
from workspace.interchange import detect, dotprompt, langfuse, markdown, promptfoo, prompty
from workspace.interchange.drafts import Draft

EVERYTHING = Draft(
    name="mail/answer",
    kind="chat",
    messages=[
        {"role": "system", "content": "You answer for {{company}}.\n\n  Indented: \"quoted\" – ü 漢字 'x'\n\n{{> tone}}"},
        {"type": "placeholder", "name": "history"},
        {"role": "assistant", "content": "# A heading\nWith: a colon"},
        {"role": "user", "content": "{{message}} {{length}} {{urgent}} {{day}} {{points}} {{data}} {{count}}"},
    ],
    description="A reply: with a colon",
    tags=["support", "mail"],
    labels=["production"],
    variables=[
        {"name": "company", "type": "text", "required": True, "default": "Lighthouse", "choices": [], "help": ""},
        {"name": "message", "type": "long", "required": True, "default": "", "choices": [], "help": "What they wrote"},
        {"name": "length", "type": "choice", "required": False, "default": "short", "choices": ["short", "long"], "help": ""},
        {"name": "urgent", "type": "boolean", "required": True, "default": "yes", "choices": [], "help": ""},
        {"name": "day", "type": "date", "required": True, "default": "2026-11-25", "choices": [], "help": ""},
        {"name": "points", "type": "list", "required": False, "default": "one\ntwo", "choices": [], "help": ""},
        {"name": "data", "type": "json", "required": False, "default": "", "choices": [], "help": ""},
        {"name": "count", "type": "number", "required": True, "default": "3", "choices": [], "help": ""},
    ],
    config={"model": "small", "temperature": 0.3, "max_tokens": 200, "stop": ["END"]},
    schema={"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]},
    note="Friendlier",
    number=4,
    included={"tone": "Be kind."},
)  # fmt: skip
FIELDS = ("name", "kind", "messages", "description", "tags", "labels", "variables", "config", "schema", "note")


def told(draft: Draft) -> dict[str, Any]:
    return {field: getattr(draft, field) for field in FIELDS}


@pytest.mark.parametrize("format_", ["markdown", "langfuse", "dotprompt"])
def test_out_and_in_again_is_the_same(format_: str) -> None:
    text = {"markdown": markdown.write, "dotprompt": dotprompt.write, "langfuse": lambda one: langfuse.write([one])}[
        format_
    ](EVERYTHING)
    whole = detect.read(text)
    assert whole.guesses[0].format == format_
    again = only(whole.reading)
    assert told(again) == told(EVERYTHING)
    assert again.number == 4


@pytest.mark.parametrize("format_", ["prompty", "promptfoo"])
def test_out_and_in_again_is_the_same_with_includes_written_out(format_: str) -> None:
    text = prompty.write(EVERYTHING) if format_ == "prompty" else promptfoo.write([EVERYTHING])
    assert "# The include tone is written out" in text or "# mail/answer: The include tone is written out" in text
    whole = detect.read(text)
    assert whole.guesses[0].format == format_
    expected = told(EVERYTHING)
    expected["messages"] = [
        {**message, "content": message["content"].replace("{{> tone}}", "Be kind.")}
        if "content" in message
        else message
        for message in EVERYTHING.messages
    ]
    assert told(only(whole.reading)) == expected


@pytest.mark.parametrize("format_", ["markdown", "langfuse", "dotprompt", "prompty", "promptfoo"])
def test_a_text_prompt_goes_out_and_in(format_: str) -> None:
    text = Draft(
        name="tone", kind="text", messages=[{"role": "user", "content": "Be kind to {{name}}.\nAlways."}], number=1
    )
    written = {
        "markdown": markdown.write, "dotprompt": dotprompt.write, "prompty": prompty.write,
        "langfuse": lambda one: langfuse.write([one]), "promptfoo": lambda one: promptfoo.write([one]),
    }[format_](text)  # fmt: skip
    again = only(detect.read(written, format_=format_).reading)
    assert (again.name, again.kind, again.messages) == ("tone", "text", text.messages)


def test_what_a_format_cannot_hold_is_said_in_its_head() -> None:
    shown = Draft(
        name="a", messages=[{"role": "user", "content": "{{> tone@staging}}"}, {"type": "placeholder", "name": "examples"}],
        examples="Words", number=2, included={},
    )  # fmt: skip
    assert "# Not in here: the few-shot set (Words)." in prompty.write(shown)
    assert "include tone@staging could not be found" in prompty.write(shown)
    assert "# {{> tone}} meant staging; a partial says only the name." in dotprompt.write(shown)
    assert "# Not in here: the placeholder examples" in dotprompt.write(shown)
    assert "# a: promptfoo has no place for the placeholder examples" in promptfoo.write([shown])
    assert "# Not in here: the few-shot set (Words)." in markdown.write(shown)
    assert langfuse.shape(shown)["config"]["studio"]["not_in_here"] == ["the few-shot set (Words)"]


def test_markdown_keeps_texts_that_look_like_its_own_marks_and_white_space() -> None:
    text = "\n  ## user <!-- message -->\n\\## user <!-- message -->\n## user <!-- message -->\n---\n\ntail\n\n"
    shown = Draft(name="a", messages=[{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}])
    assert only(markdown.read(markdown.write(shown))).messages == shown.messages


def test_the_langfuse_client_reads_what_is_exported() -> None:
    """The official SDK's own model of a prompt."""
    from langfuse.api import Prompt_Chat

    read = Prompt_Chat.model_validate(langfuse.shape(EVERYTHING) | {"type": "chat"})
    assert read.name == "mail/answer"
    assert [getattr(message, "role", "placeholder") for message in read.prompt] == [
        "system", "placeholder", "assistant", "user",
    ]  # fmt: skip
