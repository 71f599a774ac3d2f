"""Differences as people read them: by words."""

from __future__ import annotations

import time

from workspace.diffs import word_diff


def pieces(old: str, new: str) -> list[tuple[str, str]]:
    return [(piece.kind, piece.text) for piece in word_diff(old, new)]


def test_only_the_words_that_differ_are_marked() -> None:
    assert pieces("Be kind to all.\nAlways.", "Be polite to all.\nAlways.") == [
        ("same", "Be "), ("removed", "kind"), ("added", "polite"), ("same", " to all.\nAlways."),
    ]  # fmt: skip


def test_both_texts_can_be_read_from_a_difference() -> None:
    old, new = "a b c\nd e\n\nf g", "a x c\n\nf\nh"
    diff = word_diff(old, new)
    assert "".join(piece.text for piece in diff if piece.kind != "added") == old
    assert "".join(piece.text for piece in diff if piece.kind != "removed") == new


def test_nothing_differs_from_itself() -> None:
    assert pieces("a\nb", "a\nb") == [("same", "a\nb")]
    assert pieces("", "") == []


def test_a_change_in_the_midst_of_a_very_long_text_is_still_found_by_words() -> None:
    lines = "\n" * 20_000
    assert pieces(f"{lines}a b{lines}", f"{lines}a c{lines}") == [
        ("same", f"{lines}a "), ("removed", "b"), ("added", "c"), ("same", lines),
    ]  # fmt: skip


def test_two_very_long_texts_that_share_little_differ_as_a_whole_and_soon() -> None:
    assert pieces("a" + "\n" * 20_000, "b\n" * 20_000) == [("removed", "a" + "\n" * 20_000), ("added", "b\n" * 20_000)]


def test_a_long_paragraph_that_was_written_anew_is_shown_soon() -> None:
    old, new = (" ".join(f"{letter}{number}" for number in range(600)) for letter in "ab")
    began = time.process_time()
    diff = word_diff(f"Dear all, {old} Yours", f"Dear all, {new} Yours")
    assert time.process_time() - began < 2
    assert (diff[0].kind, diff[0].text) == ("same", "Dear all, ")
    assert diff[-1].text.endswith(" Yours")
