"""Which format a text is, and files: one, or a zip of many."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from tests.workspace.foreign import DOTPROMPT, LANGFUSE, LEGACY_PROMPTY, PROMPTFOO, PYTHON
from workspace.interchange import detect
from workspace.interchange.drafts import Refused


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


def test_a_damaged_zip_is_refused() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.md", "hello " * 200)
    data = bytearray(held.getvalue())
    data[40:50] = b"\xff" * 10
    with pytest.raises(Refused, match="cannot be read"):
        detect.text_of(bytes(data), "a.zip")
