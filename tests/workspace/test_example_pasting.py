"""Many examples at once: pasted tables and JSON lines, and the bound of a set."""

from __future__ import annotations

import json

import pytest

from tests.workspace.conftest import pairs_in, set_url
from workspace import pasting
from workspace.examples import Texts
from workspace.models import TooMany


def test_a_table_is_pasted_whole(as_bob, example_set):
    text = 'question\tanswer\tlang\n"a ""b""\nc"\tx\tfr\n\nd\ty\t\n'
    done = as_bob.post(set_url(example_set, "paste/"), {"text": text})
    assert done.status_code == 302
    example_set.refresh_from_db()
    assert pairs_in(example_set)[3:] == [('a "b"\nc', "x"), ("d", "y")]
    assert [e.values for e in example_set.newest.ordered()[3:]] == [{"lang": "fr"}, {}]
    assert example_set.newest.ordered()[3].source_kind == "import"


def test_bad_lines_are_named_and_nothing_is_added_until_someone_agrees(as_bob, example_set):
    text = "input,output\nsea,mer\nsky\n,vide\nsun,soleil\n"
    page = as_bob.post(set_url(example_set, "paste/"), {"text": text})
    assert page.status_code == 422
    shown = page.content.decode()
    assert "Line 3:" in shown and "one field where the first line names 2" in shown
    assert "Line 4:" in shown and "The input is empty" in shown and "sun,soleil" in shown
    example_set.refresh_from_db()
    assert len(pairs_in(example_set)) == 3
    as_bob.post(set_url(example_set, "paste/"), {"text": text, "partly": "1"})
    example_set.refresh_from_db()
    assert pairs_in(example_set)[3:] == [("sea", "mer"), ("sun", "soleil")]


def test_json_lines_bring_values_and_chats(as_bob, example_set):
    lines = [
        {"input": "a", "output": "b", "values": {"tone": "kind"}, "length": 3},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]},
    ]  # fmt: skip
    read = pasting.read("\n".join(map(json.dumps, lines)) + "\n{oops\n[1]\n" + '{"input": "only"}', most=10)
    assert read.good == [Texts("a", "b", {"tone": "kind", "length": "3"}), Texts("q", "r")]
    assert [line for line, _ in read.bad] == [3, 4, 5]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Nothing was pasted"),
        ("a,b\n1,2", "input and output must be among them"),
        ("input,input,output\n", "same name"),
        ('input,"output\n', "never closed"),
        ("input,output\n" + "a,b\n" * 4, "3 more fit"),
        ("x" * 1_000_001, "at most 1,000,000"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(text, why):
    with pytest.raises(pasting.NotReadable, match=why):
        pasting.read(text, most=3)


def test_a_set_is_bounded(example_set, alice, monkeypatch):
    monkeypatch.setattr("workspace.models.examples.MAX_EXAMPLES", 3)
    with pytest.raises(TooMany, match="at most 3"):
        example_set.add(alice, input="a", output="b")
    assert len(pairs_in(example_set)) == 3
