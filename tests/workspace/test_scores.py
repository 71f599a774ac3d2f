"""Scores: what counts as near to the expected answer, and how near."""

from __future__ import annotations

import pytest
from sacrebleu import sentence_chrf

from workspace.scores import METRICS, score

PAIRS = [
    ("The cat sat on the mat.", "The cat is sitting on the mat."),
    ("Bonjour le monde", "Bonjour tout le monde !"),
    ("a", "abcdefgh"),
    ("abcdefgh", "ab"),
    ("völlig anders", "nothing alike? 12"),
    ("xyz", "abc"),
    ("same words here", "same words here"),
    ("日本語のテスト", "日本語テスト"),
    ("  spaced   out  text ", "spaced out text"),
]


@pytest.mark.parametrize(("answer", "expected"), PAIRS)
def test_chrf_is_what_sacrebleu_computes(answer: str, expected: str) -> None:
    assert score("chrf", answer, expected) == pytest.approx(sentence_chrf(answer, [expected]).score / 100, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_runs_from_nothing_in_common_to_the_same(metric: str) -> None:
    assert score(metric, '{"a": 1}', '{"a": 1}') == 1.0
    assert score(metric, "zzz", "maison") == 0.0
    assert score(metric, "", "maison") == 0.0
    assert 0.0 <= score(metric, "x" * 2000, "xy" * 2000) <= 1.0


def test_exact_match_forgives_space_at_the_ends_and_nothing_else() -> None:
    assert score("exact", " maison\n", "maison") == 1.0
    assert score("exact", "Maison", "maison") == 0.0


def test_token_f1_counts_shared_words_as_squad_does() -> None:
    assert score("f1", "The house!", "a HOUSE") == 1.0
    assert score("f1", "red house", "the house") == pytest.approx(2 / 3)
    assert score("f1", "house house", "house") == pytest.approx(2 / 3)  # a word counts as often as both have it
    assert score("f1", "the", "an") == 1.0  # nothing left of either


def test_json_equality_compares_values_not_texts() -> None:
    assert score("json", '```json\n{"b": [1, 2.0], "a": null}\n```', '{"a":null,"b":[1.0,2]}') == 1.0
    assert score("json", "[1, 2]", "[2, 1]") == 0.0
    assert score("json", "true", "1") == 0.0
    assert score("json", "Sure! {}", "{}") == 0.0
    assert score("json", "[" * 100_000, "[]") == 0.0


def test_an_unknown_metric_is_no_metric() -> None:
    with pytest.raises(KeyError):
        score("bleu", "a", "a")
