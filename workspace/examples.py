"""An example's texts before they are stored, the places of a set as someone wants them, and merging two people's wishes.

It knows ids and texts only; storing them is `ExampleSet.save_slots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from jobs.texts import typed

MAX_TEXT = 100_000  # characters of an input, an output or one value
MAX_VALUES = 100

Choice = Literal["mine", "theirs", "both"]


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


@dataclass(frozen=True)
class Clash:
    """An example that both changed. `mine` and `theirs` are what each made of it; None where it was removed."""

    base: UUID
    mine: Slot | None
    theirs: UUID | None


def merge(
    base: Sequence[UUID],
    theirs: Sequence[UUID],
    mine: Sequence[Slot],
    became: Mapping[UUID, UUID],
    choices: Mapping[UUID, Choice] | None = None,
) -> tuple[list[Slot], list[Clash]]:
    """My changes to `base` put on top of `theirs`, and what both of us changed.

    `became` maps examples of `base` to the edits that stand for them in `theirs`. For a clash without a choice both are
    taken, so nothing is lost. Where both reordered, my order stands.
    """
    kept = {slot.example: slot for slot in mine if slot.example}
    now = {pk: became.get(pk, pk) for pk in base if became.get(pk, pk) in set(theirs)}
    origin = {new: old for old, new in now.items()}
    clashes, result = [], {}
    for pk in base:
        slot = kept.get(pk)
        changed_by_me = slot is None or slot.texts is not None
        changed_by_them = now.get(pk) != pk
        gone_for_both = slot is None and pk not in now
        their_slot = [Slot(now[pk])] if pk in now else []
        if changed_by_me and changed_by_them and not gone_for_both:
            clashes.append(Clash(pk, slot, now.get(pk)))
            choice = (choices or {}).get(pk, "both")
            result[pk] = [*(their_slot if choice != "mine" else []), *([slot] if slot and choice != "theirs" else [])]
        elif changed_by_me:
            result[pk] = [slot] if slot else []
        else:
            result[pk] = their_slot
    my_order: list[UUID | Slot] = [slot.example or slot for slot in mine]
    their_order: list[UUID | Slot] = [origin.get(pk, Slot(pk)) for pk in theirs]
    common = [key for key in my_order if isinstance(key, UUID)]
    reordered = common != [pk for pk in base if pk in set(common)]
    order = _woven(my_order, their_order) if reordered else _woven(their_order, my_order)
    merged: list[Slot] = []
    for key in order:
        merged += result[key] if isinstance(key, UUID) else [key]
    return merged, clashes


def _woven(backbone: Sequence[UUID | Slot], other: Sequence[UUID | Slot]) -> list[UUID | Slot]:
    """The backbone's order, with what only `other` has after the same neighbour as there."""
    woven: list[UUID | Slot] = list(backbone)
    there = {key for key in backbone if isinstance(key, UUID)}
    before: UUID | Slot | None = None
    for key in other:
        if isinstance(key, Slot) or key not in there:
            woven.insert(woven.index(before) + 1 if before is not None else 0, key)
        before = key
    return woven


@dataclass(frozen=True)
class Difference:
    """How one example differs between two versions of its set. Places count from 1."""

    kind: Literal["added", "removed", "edited", "moved"]
    old: UUID | None = None
    new: UUID | None = None
    was: int = 0
    place: int = 0


def differences(old: Sequence[UUID], new: Sequence[UUID], origin: Mapping[UUID, UUID]) -> list[Difference]:
    """What changed from `old` to `new`, in the new one's order and then what is gone. `origin` maps an edit to the example
    of `old` that it came from."""
    was = {pk: place for place, pk in enumerate(old, 1)}
    source = {pk: pk if pk in was else origin.get(pk) for pk in new}
    stayed = [pk for pk in new if source[pk] in was]
    settled = _longest_rising([was[source[pk]] for pk in stayed])  # type: ignore[index]
    found = []
    for place, pk in enumerate(new, 1):
        before = source[pk]
        if before is None or before not in was:
            found.append(Difference("added", new=pk, place=place))
        elif before != pk:
            found.append(Difference("edited", before, pk, was[before], place))
        elif was[pk] not in settled:
            found.append(Difference("moved", pk, pk, was[pk], place))
    left = {pk for pk in source.values() if pk}
    return [*found, *(Difference("removed", old=pk, was=was[pk]) for pk in old if pk not in left)]


def _longest_rising(places: Sequence[int]) -> set[int]:
    """The most places that kept their order; only the others count as moved."""
    from bisect import bisect_left

    tails: list[int] = []
    tail_at: list[int] = []
    before: list[int] = []
    for index, place in enumerate(places):
        at = bisect_left(tails, place)
        tails[at : at + 1], tail_at[at : at + 1] = [place], [index]
        before.append(tail_at[at - 1] if at else -1)
    settled, index = set(), tail_at[-1] if tail_at else -1
    while index >= 0:
        settled.add(places[index])
        index = before[index]
    return settled
