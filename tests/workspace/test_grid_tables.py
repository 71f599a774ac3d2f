"""Pasted tables: what is read, and which line is wrong and why. And the blind order."""

from __future__ import annotations

import pytest

from jobs.datasets import readers
from workspace.grid_tables import BadTable, read_table
from workspace.sheets import shuffled

KNOWN = ["word", "tone"]


def problems(text, known=KNOWN, most=500):
    with pytest.raises(BadTable) as error:
        read_table(text, known, most=most)
    return error.value.problems


@pytest.mark.parametrize("mark", [",", "\t", ";"])
def test_commas_tabs_and_semicolons_separate(mark):
    table = read_table(f"word{mark}tone{mark}expected\nhouse{mark}dry{mark}maison\n", KNOWN, most=500)
    assert table.rows == [{"word": "house", "tone": "dry"}] and table.expected == ["maison"]


def test_quoted_fields_may_hold_commas_quotes_and_line_ends():
    table = read_table('word,tone\r\n"a, ""b""\nc",dry\r\n', KNOWN, most=500)
    assert table.rows == [{"word": 'a, "b"\nc', "tone": "dry"}]


def test_what_excel_adds_is_no_trouble():
    table = read_table("\ufeffword,tone\r\n\r\nhouse,\r\n,\r\n", KNOWN, most=500)
    assert table.rows == [{"word": "house"}], "an empty field is no value, an empty line no input"


def test_one_column_needs_no_separator():
    assert read_table("word\nhouse\nhorse", KNOWN, most=500).rows == [{"word": "house"}, {"word": "horse"}]


def test_columns_that_nothing_uses_are_left_out_and_named():
    table = read_table("id,word\n7,house", KNOWN, most=500)
    assert table.rows == [{"word": "house"}] and table.unused == ["id"]


def test_they_can_be_kept():
    assert read_table("id,word\n7,house", KNOWN, most=500, keep_unused=True).rows == [{"id": "7", "word": "house"}]


def test_without_any_known_variable_all_columns_are_taken():
    assert read_table("id,word\n7,house", [], most=500).rows == [{"id": "7", "word": "house"}]


def test_a_variable_called_expected_is_a_variable():
    table = read_table("expected\nx", ["expected"], most=500)
    assert table.rows == [{"expected": "x"}] and table.expected == [""]


def test_every_line_with_the_wrong_number_of_fields_is_named():
    text = "word,tone\nhouse,dry\nhorse\ntree,wet,warm\n"
    assert problems(text) == ["Line 3 has 1 field; the header has 2.", "Line 4 has 3 fields; the header has 2."]


def test_lines_count_as_the_editor_counts_them():
    assert problems('word,tone\n"two\nlines",dry\nhorse\n') == ["Line 4 has 1 field; the header has 2."]


def test_a_long_list_of_bad_lines_is_cut():
    found = problems("word,tone\n" + "x\n" * 40)
    assert len(found) == 11 and found[-1] == "And 30 more lines."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nothing to read"),
        ("word,tone\n", "no line comes after"),
        ("word,word\na,b", "names word twice"),
        ("word,\na,b", "column 2 has no name"),
        ('word,tone\n"never,closed\n', "Line 2 cannot be read: a quotation mark opens here and is never closed"),
        ('word,tone\n"a"b,c\n', "Line 2 cannot be read: text follows a closing quotation mark"),
        ("word\n" + "x" * 500_001, "Line 2 cannot be read: a field has more than 500,000 characters."),
        ("a b,c d\n1,2", "none of these is a variable here. The variables are word, tone"),
        ("word\n" + "x\n" * 501, "501 inputs; a grid has at most 500"),
    ],
)
def test_what_is_wrong_is_said(text, says):
    assert says in problems(text)[0]


def test_reading_a_table_leaves_data_sets_their_longer_fields(tmp_path):
    read_table("word,tone\nhouse,dry", KNOWN, most=500)
    (tmp_path / "long.csv").write_text(f"question,answer\n{'x' * 600_000},y\n")
    assert list(readers.table(tmp_path / "long.csv")) == [(2, {"question": "x" * 600_000, "answer": "y"})]


@pytest.mark.parametrize("text", [",", '""', ";;\n;;"])
def test_empty_fields_alone_are_no_table(text):
    assert problems(text) == ["Line 1 is to name the variables, and there are only empty fields."]


def test_a_header_has_two_hundred_columns_at_most():
    [problem] = problems(",".join(f"a{number}" for number in range(201)) + "\n")
    assert "201 columns; at most 200" in problem


def test_a_name_that_cannot_be_a_variable_is_refused():
    assert "cannot be a variable" in problems("first name\nx", known=[])[0]


def test_the_blind_order_stays_and_differs_between_people_and_inputs():
    items = list("ABCDEF")
    assert shuffled(items, "s", "alice", 1) == shuffled(items, "s", "alice", 1)
    orders = {tuple(shuffled(items, "s", person, row)) for person in ("alice", "bob") for row in range(20)}
    assert len(orders) > 30 and all(sorted(order) == items for order in orders)
    assert shuffled(items, "other", "alice", 1) != shuffled(items, "s", "alice", 1)
