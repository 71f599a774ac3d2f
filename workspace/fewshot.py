"""Few-shot: which examples go into a prompt for one input, and how they are written there.

It works on anything with `input`, `output` and `values`; similarity and token counts are handed in. It knows no rows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal, Protocol, Self, TypeVar, get_args

from workspace.prompts import EXAMPLES, Message, PromptError, fill, placeholders_in, variables_in

How = Literal["fixed", "random", "similar", "budget"]
HOWS: dict[str, str] = {
    "fixed": "The first ones, always the same",
    "random": "Drawn at random, by seed and input",
    "similar": "The most similar to the input (trigram similarity)",
    "budget": "As many as fit into a token budget, in order",
}
MAX_SHOTS = 64


class Shot(Protocol):
    @property
    def input(self) -> str: ...
    @property
    def output(self) -> str: ...
    @property
    def values(self) -> Mapping[str, str]: ...


S = TypeVar("S", bound=Shot)


@dataclass(frozen=True)
class Shots:
    """How a prompt takes its examples. `count` is the most of them (for `budget` too); `budget` is in tokens."""

    how: How = "fixed"
    count: int = 3
    seed: int = 0
    budget: int = 500

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Raises PromptError."""
        how = values.get("how", "fixed")
        if how not in get_args(How):
            raise PromptError("bad_value", f"Examples cannot be chosen by {str(how)[:40]!r}.")
        numbers = {}
        for name, low, high in (("count", 0, MAX_SHOTS), ("seed", 0, 2**32 - 1), ("budget", 0, 100_000)):
            value = values.get(name, getattr(cls, name))
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise PromptError("bad_value", f"{name} must be a whole number from {low} to {high:,}.", [name])
            numbers[name] = value
        return cls(how, **numbers)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def choose(
        self, examples: Sequence[S], query: str, *, nearest: Callable[[], Sequence[S]], cost: Callable[[S], int]
    ) -> list[S]:
        """The examples for the input `query`, in the order in which the model reads them.

        `nearest` gives them by similarity to `query`, best first; the best then stands last, next to the question.
        `cost` is an example's tokens.
        """
        match self.how:
            case "random":
                source = random.Random(f"{self.seed}:{query}")  # noqa: S311 - a draw to repeat, not a secret
                drawn = source.sample(range(len(examples)), min(self.count, len(examples)))
                return [examples[index] for index in sorted(drawn)]
            case "similar":
                return list(reversed(nearest()[: self.count]))
            case "budget":
                chosen, left = [], self.budget
                for example in examples[: self.count]:
                    left -= cost(example)
                    if left < 0:
                        break
                    chosen.append(example)
                return chosen
        return list(examples[: self.count])


def pair(example: Shot, question: str) -> list[Message]:
    """An example as a question and its answer. `question` is the prompt's last user message, still with its variables:
    an example with values for them, or an input for the only one, is asked in the prompt's own words."""
    names = variables_in([{"content": question}])
    asked = example.input
    template = [{"role": "user", "content": question}]
    if names and set(names) <= set(example.values):
        asked = fill(template, example.values)[0]["content"]
    elif len(names) == 1:
        asked = fill(template, {names[0]: example.input})[0]["content"]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": example.output}]


def meter(count: Callable[[list[Message]], int | None] | None = None) -> Callable[[list[Message]], int]:
    """Measures what turns add to a prompt, in tokens. `count` is a function from messages to tokens; where there is none,
    or it does not know, four characters count as a token."""
    opening = [{"role": "user", "content": "."}, {"role": "assistant", "content": "."}]
    baseline = cache(lambda: count(opening) if count else None)  # asked for only once something is measured

    def measure(turns: list[Message]) -> int:
        before = baseline()  # what a template puts around any conversation is no example's cost
        after = count([*opening, *turns]) if count and before is not None else None
        if before is None or after is None:
            return -(-sum(len(turn["content"]) for turn in turns) // 4)
        return after - before

    return measure


def last_question(messages: Sequence[Message]) -> int | None:
    """Where the last user message stands."""
    return next((i for i in range(len(messages) - 1, -1, -1) if messages[i].get("role") == "user"), None)


def with_examples_placeholder(messages: Sequence[Message]) -> list[Message]:
    """The messages with a place for the examples: where the author put it, else before the last user message."""
    if EXAMPLES in placeholders_in(messages):
        return list(messages)
    at = last_question(messages)
    at = len(messages) if at is None else at
    return [*messages[:at], {"type": "placeholder", "name": EXAMPLES}, *messages[at:]]
