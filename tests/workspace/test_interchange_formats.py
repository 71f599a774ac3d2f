"""Prompts from elsewhere, read by the pure functions: what is kept, what is said about it, and what is refused by name."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from workspace.interchange import detect, dotprompt, langfuse, markdown, openai, promptfoo, prompty
from workspace.interchange.bounded import load_json, load_yaml
from workspace.interchange.drafts import Draft, Problem, Reading, Refused


def drafts(reading: Reading) -> list[Draft]:
    problems = [item for item in reading.items if isinstance(item, Problem)]
    assert not problems, problems
    return [item for item in reading.items if isinstance(item, Draft)]


def only(reading: Reading) -> Draft:
    [draft] = drafts(reading)
    return draft


def why(reading: Reading) -> str:
    [problem] = reading.items
    assert isinstance(problem, Problem), problem
    return problem.why


LANGFUSE = {
    "id": "cm1", "projectId": "p", "createdBy": "API", "name": "support/movie-critic", "version": 3, "type": "chat",
    "prompt": [
        {"type": "chatmessage", "role": "system", "content": "@@@langfusePrompt:name=tone|label=production@@@ Be a {{level}} critic."},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": "Do you like {{movie}}? @@@langfusePrompt:name=rules|version=2@@@"},
    ],
    "config": {"model": "gpt-4o", "temperature": 0.5}, "labels": ["production", "latest"], "tags": ["movies"],
    "commitMessage": "Softer",
}  # fmt: skip


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


PROMPTFOO = """
description: Translation
prompts:
  - 'Translate to {{language}}: {{text}}'
  - label: chatty
    raw: |
      [{"role": "system", "content": "You translate."}, {"role": "user", "content": "{{text}}"}]
  - file://prompts/secret.txt
  - file://generate.py:create_prompt
  - exec:./generate.sh
  - prompt.json
  - langfuse://my-prompt@production
  - 'Upper {{ text | upper }}'
  - '{% if premium %}Hello{% endif %} {{text}}'
  - - {role: system, content: Be brief.}
    - {role: user, content: "{{text}}"}
providers:
  - id: openai:gpt-4o
    config: {temperature: 0.2, apiKey: sk-secret}
defaultTest:
  vars: {language: French}
tests:
  - vars: {text: Hello}
    assert:
      - {type: equals, value: Bonjour}
      - {type: javascript, value: 'output.length < 5'}
      - {type: not-python, value: 'len(output)'}
      - {type: llm-rubric, value: polite}
      - {type: contains, value: 'file://check.js'}
      - {type: assert-set, assert: [{type: ruby, value: x}]}
  - vars: {text: [a, b]}
  - file://more.yaml
"""


def test_promptfoo_takes_what_is_text_and_names_the_rest() -> None:
    reading = promptfoo.read(PROMPTFOO)
    good = [item for item in reading.items if isinstance(item, Draft)]
    assert [(draft.name, draft.kind, len(draft.messages)) for draft in good] == [
        ("Translation 1", "text", 1), ("chatty", "chat", 2), ("Translation 10", "chat", 2),
    ]  # fmt: skip
    assert good[0].config == {"temperature": 0.2}
    assert [(spec["name"], spec["default"]) for spec in good[0].variables] == [("language", "French")]
    refused = {item.where: item.why for item in reading.items if isinstance(item, Problem)}
    assert list(refused) == [f"prompts[{number}]" for number in range(2, 9)]
    assert "file://prompts/secret.txt" in refused["prompts[2]"]
    assert "exec:./generate.sh" in refused["prompts[4]"]
    assert "{{ text | upper }}" in refused["prompts[7]"]
    assert "{% if premium %}" in refused["prompts[8]"]


def test_promptfoo_tests_become_inputs_and_code_assertions_are_refused_by_name() -> None:
    reading = promptfoo.read(PROMPTFOO)
    assert reading.cases == [{"language": "French", "text": "Hello", "expected": "Bonjour"}]
    remarks = "\n".join(reading.remarks)
    for words in (
        "tests[0].assert[1]: javascript is code and was refused.",
        "tests[0].assert[2]: not-python is code and was refused.",
        "tests[0].assert[3]: llm-rubric was not taken in",
        "tests[0].assert[4]: contains with file://check.js is code or a file elsewhere",
        "tests[0].assert[5].assert[0]: ruby is code and was refused.",
        "tests[1]: its variables are lists",
        "tests[2]: file://more.yaml is not in this file",
        "providers: models are chosen here",
    ):
        assert words in remarks, words
    assert "sk-secret" not in repr(reading)


LEGACY_PROMPTY = """---
name: Answer
description: Answers a customer
authors: [testauthor]
tags: [test]
model:
  api: chat
  configuration:
    type: azure_openai
    azure_deployment: gpt-35-turbo
    api_key: sk-secret
  parameters: {temperature: 0.7, max_tokens: 500}
inputs:
  firstName: {type: string, sample: Jane, description: The first name}
  lastName: Doe
  question: {type: string, sample: Why?}
  chat_history: []
---
system:
You help {{firstName}} {{lastName}}.

{% for item in chat_history %}
{{item.role}}:
{{item.content}}
{% endfor %}

user:
{{question}}
"""


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


DOTPROMPT = """---
name: greeting
variant: formal
model: googleai/gemini-1.5-flash
config:
  temperature: 0.7
input:
  default:
    name: Guest
  schema:
    name: string, who is greeted
    style?(enum, how): [warm, cool]
    tags(array): string
    age?: integer
output:
  format: json
  schema:
    greeting: string, the greeting
    level?: number
---
{{! a comment }}
{{role "system"}}
Greet in the style {{style}}.
{{history}}
{{role "user"}}
I am {{name}}, {{age}}. {{> house/rules}} {{tags}}
"""


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


PYTHON = """
response = client.responses.create(
  prompt={"id": "pmpt_68ab01", "version": "2", "variables": {"city": "San Francisco", "days": "3"}}
)
"""


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


@pytest.mark.parametrize(
    ("text", "filename", "expected", "evidence"),
    [
        (json.dumps(LANGFUSE), "", "langfuse", "JSON with name, type, prompt"),
        (PROMPTFOO, "", "promptfoo", "line 3"),
        (LEGACY_PROMPTY, "", "prompty", "system:"),
        (DOTPROMPT, "", "dotprompt", "{{role"),
        ("Hello {{name}}", "hello.prompt", "dotprompt", ".prompt"),
        ("---\nformat: llm-studio-prompt\n---\n", "", "markdown", "format"),
        (PYTHON, "", "openai", "pmpt_68ab01 in line 3"),
        (json.dumps({"id": "pmpt_1", "version": "1"}), "", "openai", "pmpt_"),
        ("Dear diary", "", "", "none of them"),
        ('{"some": "json"}', "", "", "none of the formats"),
    ],
)
def test_the_format_is_told_with_its_evidence(text: str, filename: str, expected: str, evidence: str) -> None:
    found = detect.guess(text, filename)
    assert found.format == expected
    assert evidence in found.evidence


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


def test_a_zip_is_read_file_by_file() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("mail/hello.prompt", "Hello {{name}}")
        archive.writestr("answer.prompty", LEGACY_PROMPTY)
        archive.writestr("notes.txt", "Dear diary")
    whole = detect.read(detect.text_of(held.getvalue(), "all.zip"))
    assert [(item.name, type(item).__name__) for item in whole.reading.items] == [
        ("Answer", "Draft"), ("hello", "Draft"), ("notes", "Problem"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\xff\xfe\x00", "not UTF-8"), (b"PK\x03\x04broken", "cannot be read"), (b"x" * (5 * 2**20 + 1), "5 MiB")],
)
def test_files_that_are_no_text_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        detect.text_of(data, "file")


def test_a_zip_that_unpacks_to_more_than_it_says_is_stopped() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.prompt", "0" * 50 * 2**20)
    with pytest.raises(Refused, match="5 MiB together"):
        detect.text_of(held.getvalue(), "bomb.zip")


def test_more_than_a_thousand_prompts_are_too_many() -> None:
    with pytest.raises(Refused, match="1,000"):
        langfuse.read(json.dumps([{"name": f"p{number}", "prompt": "x"} for number in range(1001)]))


# Out and in again

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
    began = time.monotonic()
    with suppress(Refused):
        detect.read(text, "", format_)
    assert time.monotonic() - began < 1


def test_a_damaged_zip_is_refused() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.md", "hello " * 200)
    data = bytearray(held.getvalue())
    data[40:50] = b"\xff" * 10
    with pytest.raises(Refused, match="cannot be read"):
        detect.text_of(bytes(data), "a.zip")
