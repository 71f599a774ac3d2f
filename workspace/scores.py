"""How near an answer is to the expected one, from 0 to 1: exact match, token F1, chrF, JSON equality.

Plain Python on two texts, so that pages can score as they show. It knows nothing of rows, models or grids.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from typing import Any

from jobs.structured import unfenced

METRICS: dict[str, str] = {
    "exact": "Exact match (the same text, but for space at its ends)",
    "f1": "Token F1 (shared words, as in SQuAD)",
    "chrf": "chrF (shared runs of characters)",
    "json": "JSON equality (the same values, in any order of keys)",
}

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ORDER, _BETA2 = 6, 4.0  # chrF2: character 1- to 6-grams, recall counts twice as much as precision
MOST = 50_000  # characters that chrF compares; what follows does not change the score


def score(metric: str, answer: str, expected: str) -> float:
    """0 (nothing in common) to 1 (as good as the same). Raises KeyError for a metric that is none."""
    return {"exact": exact, "f1": token_f1, "chrf": chrf, "json": json_equal}[metric](answer, expected)


def exact(answer: str, expected: str) -> float:
    return float(answer.strip() == expected.strip())


def token_f1(answer: str, expected: str) -> float:
    """SQuAD's F1 (Rajpurkar et al. 2016): words without case, punctuation and English articles, in any order."""
    given, wanted = _words(answer), _words(expected)
    if not given or not wanted:
        return float(given == wanted)
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted))


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def chrf(answer: str, expected: str) -> float:
    """chrF2 of one sentence (Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"; beta = 2 as in
    Popović 2016), without spaces, averaged over the orders that both texts are long enough for, as sacrebleu does."""
    given, wanted = "".join(answer.split())[:MOST], "".join(expected.split())[:MOST]
    orders = range(1, min(_ORDER, len(given), len(wanted)) + 1)
    if not orders:
        return float(given == wanted)
    precision = recall = 0.0
    for n in orders:
        mine, theirs = _grams(given, n), _grams(wanted, n)
        shared = (mine & theirs).total()
        precision += shared / mine.total()
        recall += shared / theirs.total()
    precision, recall = precision / len(orders), recall / len(orders)
    weighted = _BETA2 * precision + recall
    return (1 + _BETA2) * precision * recall / weighted if weighted else 0.0


def _grams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def json_equal(answer: str, expected: str) -> float:
    """The same JSON value. An answer may stand in a code fence; what is not JSON equals nothing."""
    try:
        return float(_same(_json(answer), _json(expected)))
    except (ValueError, RecursionError):
        return 0.0


def _json(text: str) -> Any:
    return json.loads(unfenced(text))


def _same(a: Any, b: Any) -> bool:
    """As JSON means it: true is not 1, and 1 is 1.0."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
