"""An example's texts before they are stored, and the places of a set as someone wants them.

It knows ids and texts only; storing them is `ExampleSet.save_slots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from jobs.texts import typed

MAX_TEXT = 100_000  # characters of an input, an output or one value
MAX_VALUES = 100


class BadExample(ValueError):
    """Texts that make no example. The message is for a person; `field` is input, output or values."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Texts:
    """What one example says."""

    input: str
    output: str
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def checked(cls, input: Any, output: Any, values: Mapping[str, Any] | None = None) -> Texts:
        """As it may be stored. Raises BadExample."""
        texts = {
            "input": input,
            "output": output,
            **{f"value of {name}": text for name, text in (values or {}).items()},
        }
        clean = {}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise BadExample(name, f"The {name} is not a text.")
            if len(text) > MAX_TEXT:
                raise BadExample(name, f"The {name} has {len(text):,} characters; at most {MAX_TEXT:,} fit.")
            clean[name] = typed(text)
        for name in ("input", "output"):
            if not clean[name].strip():
                raise BadExample(name, f"The {name} is empty. An example has both an input and the output to it.")
        if len(values or {}) > MAX_VALUES:
            raise BadExample("values", f"An example has at most {MAX_VALUES} values.")
        return cls(clean["input"], clean["output"], {name: clean[f"value of {name}"] for name in values or {}})


@dataclass(frozen=True)
class Slot:
    """One place in a set: an example as it is, an example with new `texts`, or (without `example`) a new one."""

    example: UUID | None = None
    texts: Texts | None = None


def rebuilt(base: Sequence[UUID], shown: Sequence[UUID], wanted: Sequence[Slot], *, arranged: bool) -> list[Slot]:
    """The whole set as someone wants it who saw only some of it: `wanted` in the places of `shown`.

    `arranged` is False where they saw it sorted or filtered: then the set's own order stays, and what is new comes last.
    An example that the set does not hold is left out, or is a new one if it has texts.
    """
    visible, known = set(shown), set(base)
    wanted = [slot if slot.example in known else Slot(texts=slot.texts) for slot in wanted]
    wanted = [slot for slot in wanted if slot.example or slot.texts]
    if arranged:
        first = next((at for at, pk in enumerate(base) if pk in visible), len(base))
        before = [Slot(pk) for pk in base[:first] if pk not in visible]
        return [*before, *wanted, *(Slot(pk) for pk in base[first:] if pk not in visible)]
    kept = {slot.example: slot for slot in wanted if slot.example}
    stay = [kept.get(pk, Slot(pk)) for pk in base if pk not in visible or pk in kept]
    return [*stay, *(slot for slot in wanted if slot.example is None)]


def moved(slots: Sequence[Slot], places: Mapping[UUID, int]) -> list[Slot]:
    """The slots with some examples taken to other places, counted from 1."""
    movers = {slot.example: slot for slot in slots if slot.example in places}
    rest = [slot for slot in slots if slot.example not in movers]
    for pk, place in sorted(places.items(), key=lambda item: item[1]):
        if pk in movers:
            rest.insert(max(place - 1, 0), movers[pk])
    return rest


def summary(base: Sequence[UUID], slots: Sequence[Slot]) -> str:
    """What a save does, in a few words; empty where it does nothing."""
    stay = [slot.example for slot in slots if slot.example]
    counts = {
        "edited": sum(1 for slot in slots if slot.example and slot.texts),
        "added": sum(1 for slot in slots if slot.example is None),
        "removed": len(set(base) - set(stay)),
    }
    words = [f"{verb} {number}" for verb, number in counts.items() if number]
    if stay != [pk for pk in base if pk in set(stay)]:
        words.append("reordered")
    return ", ".join(words).capitalize()
