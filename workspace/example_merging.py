"""Two versions of an example set beside each other: what differs, and one person's changes put on top of another's.

Examples have ids that last, so nothing is guessed from their texts; two drafts of a prompt, whose messages have none, are
brought together by workspace/merging.py. It knows ids only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from workspace.examples import Slot

Choice = Literal["mine", "theirs", "both"]


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
    source = {pk: before for pk in new if (before := pk if pk in was else origin.get(pk)) in was}
    settled = _longest_rising([was[before] for before in source.values()])
    found = []
    for place, pk in enumerate(new, 1):
        before = source.get(pk)
        if before is None:
            found.append(Difference("added", new=pk, place=place))
        elif before != pk:
            found.append(Difference("edited", before, pk, was[before], place))
        elif was[pk] not in settled:
            found.append(Difference("moved", pk, pk, was[pk], place))
    left = set(source.values())
    return [*found, *(Difference("removed", old=pk, was=was[pk]) for pk in old if pk not in left)]


def _longest_rising(places: Sequence[int]) -> set[int]:
    """The most places that kept their order; only the others count as moved."""
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
