"""Data sets of picked rows: sealed, in splits that do not leak, each row with its source."""

from __future__ import annotations

import pytest

from jobs.datasets.collected import Picked, collect
from jobs.models import Dataset, Split


def pick(question, answer, source="cell:1"):
    return Picked([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], source)


@pytest.fixture
def seal(team, alice):
    return lambda *picked, **options: collect(picked, team=team, author=alice, name="Good answers", **options)


def test_rows_are_sealed_in_order_and_remember_their_source(seal):
    done = seal(pick("a", "1", "cell:x"), pick("b", "2", "cell:y"))
    rows = list(done.dataset.rows.all())
    assert [(row.prompt, row.answer, row.source) for row in rows] == [("a", "1", "cell:x"), ("b", "2", "cell:y")]
    assert done.taken == done.dataset.total == 2 and len(done.dataset.sha256) == 64
    assert [row.cell_id for row in rows] == ["x", "y"]


def test_the_seal_is_over_the_rows(seal):
    first, again, other = seal(pick("a", "1")), seal(pick("a", "1")), seal(pick("a", "2"))
    assert first.dataset.sha256 == again.dataset.sha256 != other.dataset.sha256


def test_what_cannot_be_a_row_is_left_out_with_the_reason(seal):
    done = seal(pick("a", "1"), pick("b", "  "))
    assert done.taken == 1 and [reason for _, reason in done.left_out] == ["has an empty answer at its end"]


def test_without_a_good_row_there_is_no_data_set(seal):
    assert seal(pick("a", "")).dataset is None
    assert not Dataset.objects.exists()


def test_added_to_another_the_old_rows_keep_their_splits_and_the_old_set_stays(seal):
    old = seal(pick("a", "1"), pick("b", "2")).dataset
    old.rows.filter(position=1).update(split=Split.TEST)
    new = seal(pick("c", "3"), base=old).dataset
    assert [(row.prompt, row.split) for row in new.rows.all()] == [("a", "train"), ("b", "test"), ("c", "train")]
    assert old.rows.count() == 2 and new.pk != old.pk


def test_a_question_that_is_tested_is_not_trained_on(seal):
    old = seal(pick("a", "1"), pick("b", "2")).dataset
    old.rows.filter(position=1).update(split=Split.TEST)
    new = seal(pick("b", "better"), base=old).dataset
    assert [row.split for row in new.rows.all()] == ["train", "test", "test"]


def test_a_large_set_has_a_validation_split(seal):
    done = seal(*(pick(f"q{n}", "a") for n in range(100)))
    assert done.dataset.counts["validation"] == 20
