"""promptfoo's YAML, read: its texts, its tests as inputs, and whatever is code refused by name."""

from __future__ import annotations

from tests.workspace.foreign import PROMPTFOO
from workspace.interchange import promptfoo
from workspace.interchange.drafts import Draft, Problem


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


def test_values_for_all_tests_that_are_no_plain_ones_are_said_to_be_left_out() -> None:
    reading = promptfoo.read("prompts: [Hi]\ndefaultTest: {vars: {word: [a, b]}}")
    assert reading.remarks == ["defaultTest: its variables are lists, files or code; they were not taken in."]
