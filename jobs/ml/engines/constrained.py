"""JSON by a schema while it is written: which tokens may come next, by llguidance.

It knows tokenizers and schemas; it knows neither models nor tensors, nor what becomes of an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer

# JSON as most models have seen it, without the endless blank lines that small ones like to put in; keywords that
# llguidance does not know are left to the check afterwards.
GUIDANCE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "lenient": True}


def guided(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with our word on how llguidance is to go about it; what it says about that itself does not count."""
    return {**schema, "x-guidance": GUIDANCE}


class Schemas:
    """Begins answers for one vocabulary. Reading that takes half a second for 49,000 tokens, so it is done once.

    Raises ValueError if llguidance cannot read the tokenizer, or an end is not one of its tokens.
    """

    def __init__(self, tokenizer: Tokenizer, ends: Iterable[int]) -> None:
        self._tokens = LLTokenizer(tokenizer.to_str(), eos_token=sorted(ends), slices=LLTokenizer.json_slices())

    def begin(self, schema: dict[str, Any]) -> Answer | None:
        """An answer by this schema, from its first token; None if llguidance cannot build the schema."""
        grammar = LLMatcher.grammar_from_json_schema(guided(schema))
        matcher = LLMatcher(self._tokens, grammar, log_level=0)
        return None if matcher.is_error() else Answer(matcher)


class Answer:
    """One answer on its way. It is asked before each token, by one thread at a time."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher
        self._read = 0  # of the tokens written

    def allowed(self, written: list[int]) -> bytes | None:
        """One bit per token, the lowest of a byte first: what may follow all that is `written`. Once the JSON is whole
        only the ends may. None if anything may: the schema has no first token, or is too much for the parser's limits,
        and the answer is left to the check afterwards."""
        if self._matcher.is_error():
            return None
        self._matcher.consume_tokens(written[self._read :])
        self._read = len(written)
        bits = self._matcher.compute_bitmask()
        return None if self._matcher.is_error() else bits
