"""Which examples each way of choosing takes for one input, side by side, with what they cost.

The choice is the one a prompt makes (workspace/fewshot.py); this only asks for all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from jobs.models import LanguageModel
from workspace import fewshot
from workspace.example_costs import counts
from workspace.fewshot import HOWS, How, Shots
from workspace.models import Example, ExampleSet, ExampleSetVersion, PromptVersion
from workspace.prompts import PromptError


@dataclass(frozen=True)
class Taken:
    """What one way of choosing takes, in the order in which the model reads it: (place in the set, example, tokens)."""

    how: str
    words: str
    examples: list[tuple[int, Example, int]]
    own: bool  # the prompt's own way

    @property
    def tokens(self) -> int:
        return sum(tokens for _, _, tokens in self.examples)


@dataclass(frozen=True)
class Selection:
    """For a typed input; `problem` says what cannot be shown and why."""

    version: ExampleSetVersion
    prompt_version: PromptVersion | None
    shots: Shots
    query: str
    ways: list[Taken]
    exact: bool
    problem: str = ""

    @classmethod
    def asked(
        cls,
        found: ExampleSet,
        prompt_version: PromptVersion | None,
        fields: Mapping[str, str],
        model: LanguageModel | None,
    ) -> Selection:
        """A prompt version brings its own settings and its version of the set; without one they are typed."""
        count = model.prompt_tokens if model is not None and counts(model) else None
        query, question = fields.get("input", "")[:100_000].replace("\x00", ""), ""
        version = found.newest
        try:
            if prompt_version and prompt_version.examples:
                version, shots = prompt_version.examples, Shots.from_dict(prompt_version.shots)
                question = prompt_version.question()
            else:
                numbers = {name: fields.get(name, "").replace(",", "").strip() for name in ("count", "seed", "budget")}
                shots = Shots.from_dict({name: _number(name, text) for name, text in numbers.items() if text})
        except PromptError as error:
            return cls(version, prompt_version, Shots(), query, [], count is not None, str(error))
        measure = fewshot.meter(count)
        place = {pk: number for number, pk in enumerate(version.order, 1)}
        ordered, ways = version.ordered(), []
        for how in get_args(How):
            chosen = version.choose(replace(shots, how=how), query, question=question, count=count, among=ordered)
            rows = [(place[one.pk], one, measure(fewshot.pair(one, question))) for one in chosen]
            ways.append(Taken(how, HOWS[how], rows, bool(prompt_version) and shots.how == how))
        return cls(version, prompt_version, shots, query, ways, count is not None)


def _number(name: str, text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        raise PromptError("bad_value", f"{name} takes a whole number.", [name]) from None
