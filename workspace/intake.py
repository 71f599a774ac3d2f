"""Taking drafts in as prompts and versions: one after the other, each by itself, so that one that cannot be kept stops none.

A rehearsal does all of it and takes it back, so what a person agrees to is what happens. Formats are workspace/interchange.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction

from workspace import bulk, newcomers, prompts
from workspace.interchange.drafts import TEXT, Draft, Item, Problem
from workspace.models import Archived, LabelRefused, Membership, Prompt, PromptAlias, PromptLabel, PromptVersion
from workspace.models.includes import checked_content
from workspace.newcomers import Newcomer
from workspace.prompts import PromptError

NEW, VERSION, SAME, SKIPPED, ALIAS, PROBLEM = "new", "version", "same", "skipped", "alias", "problem"
SAID = {
    NEW: "New prompt",
    VERSION: "New version",
    SAME: "The same: skipped",
    SKIPPED: "Skipped",
    ALIAS: "Another name",
    PROBLEM: "Not possible",
}


@dataclass(frozen=True)
class Choice:
    """What a person wants done with an item: skip it, or take it in under this name (empty: its own)."""

    skip: bool = False
    name: str = ""


@dataclass
class Outcome:
    """What became of one item, or would."""

    at: int
    where: str
    name: str
    did: str
    why: str = ""
    number: int = 0  # of the version it became
    url: str = ""
    open: bool = True  # whether another name, or leaving it out, is a way on
    notes: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        return f"{SAID[self.did]} {self.number}" if self.did == VERSION and self.number else SAID[self.did]


def take_in(
    items: Sequence[Item],
    by: Membership,
    *,
    folder: str = "",
    choices: Mapping[int, Choice] | None = None,
    source: str = "",
) -> list[Outcome]:
    """Take in what can be, in the caller's transaction; one outcome for each item, in their order. Prompts that others
    may include come first."""
    order = sorted(range(len(items)), key=lambda at: _late(items[at]))
    done = [_named(at, items[at], folder, (choices or {}).get(at, Choice())) for at in order]
    names = {outcome.name for outcome in done}
    there = set(Prompt.objects.for_team(by.team).filter(name__in=names).values_list("name", flat=True))
    waiting: dict[str, tuple[Outcome, Draft, Newcomer]] = {}
    for outcome in done:
        item = items[outcome.at]
        if outcome.did != NEW or isinstance(item, Problem):
            continue
        if (
            outcome.name in waiting
            or item.alias
            or any(one.name in waiting for one in prompts.includes_in(item.messages))
        ):
            _start(waiting, by, source)  # the others' turn: this one builds on them
        if item.alias or not item.messages or outcome.name in there:
            _one(item, by, outcome, source)
            continue
        try:
            waiting[outcome.name] = (outcome, item, _newcomer(item, by, outcome.name, source))
            there.add(outcome.name)
        except PromptError as error:
            outcome.did, outcome.why = PROBLEM, str(error)
    _start(waiting, by, source)
    return sorted(done, key=lambda outcome: outcome.at)


def rehearse(items: Sequence[Item], by: Membership, **how: Any) -> list[Outcome]:
    with transaction.atomic():
        outcomes = take_in(items, by, **how)
        transaction.set_rollback(True)
    return outcomes


def counted(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many of each kind, in the order in which they are told."""
    counts = Counter(outcome.did for outcome in outcomes)
    return {did: counts[did] for did in SAID if counts[did]}


def _late(item: Item) -> int:
    if isinstance(item, Problem):
        return 0
    return 1 if item.kind == TEXT and not prompts.includes_in(item.messages) else 2


def _named(at: int, item: Item, folder: str, choice: Choice) -> Outcome:
    """The outcome as far as it is known without a look at what is here: `did` is NEW where one is still to come."""
    own = f"{folder}/{item.name}" if folder and item.name else item.name
    outcome = Outcome(at, item.where, choice.name or own, PROBLEM)
    if isinstance(item, Problem):
        outcome.why, outcome.open = item.why, False
        return outcome
    outcome.notes = list(item.notes)
    if choice.skip:
        outcome.did = SKIPPED
    elif not outcome.name.strip():
        outcome.why = (
            f"Name the prompt that shall answer to {item.alias}."
            if item.alias and not item.messages
            else "It has no name. Give it one."
        )
    else:
        try:
            outcome.name, outcome.did = prompts.checked_name(prompts.tidy_name(outcome.name)), NEW
        except PromptError as error:
            outcome.why = str(error)
    return outcome


def _one(item: Draft, by: Membership, outcome: Outcome, source: str) -> None:
    try:
        with transaction.atomic():
            _keep(item, by, outcome, source)
    except (PromptError, bulk.NotDone, Archived) as error:
        outcome.did, outcome.why, outcome.number, outcome.url = PROBLEM, str(error), 0, ""
    except IntegrityError:
        outcome.did, outcome.why = PROBLEM, "Someone is saving a prompt of this name at this moment. Try again."


def _newcomer(draft: Draft, by: Membership, name: str, source: str) -> Newcomer:
    """The draft as a new prompt, ready to be stored. Raises PromptError."""
    prompt = Prompt(
        team=by.team, author=by.user, name=name, kind=draft.kind, description=draft.description[:2000],
        tags=bulk.clean_tags(draft.tags),
    )  # fmt: skip
    content = checked_content(prompt, draft.messages, draft.variables, draft.config, draft.schema, None)
    return Newcomer(prompt, content, _note(draft, source), draft.labels)


def _start(waiting: dict[str, tuple[Outcome, Draft, Newcomer]], by: Membership, source: str) -> None:
    """Store those that wait; one by one where somebody has just taken one of their names."""
    try:
        with transaction.atomic():
            newcomers.start([new for _, _, new in waiting.values()], by)
        for outcome, _, new in waiting.values():
            _started(outcome, new)
    except IntegrityError:
        for outcome, draft, _ in waiting.values():
            _one(draft, by, outcome, source)
    waiting.clear()


def _started(outcome: Outcome, new: Newcomer) -> None:
    outcome.did, outcome.number, outcome.url = NEW, 1, new.prompt.get_absolute_url()
    outcome.notes += [_not_set(name, why) for name, why in new.refused.items()]


def _note(draft: Draft, source: str) -> str:
    return draft.note or (f"Imported from {source}" if source else "Imported")


def _not_set(label: str, why: str) -> str:
    return f"The label {label} was not set. {why}"


def _keep(draft: Draft, by: Membership, outcome: Outcome, source: str) -> None:
    """Raises PromptError and NotDone; then nothing of it is kept."""
    found = Prompt.objects.for_team(by.team).filter(name=outcome.name).select_related("team").first()
    version: PromptVersion | None = None
    if not draft.messages:
        if found is None:
            raise bulk.NotDone(
                f"There is no prompt called {outcome.name}. Name one that is here; it will answer to {draft.alias}."
            )
        outcome.did = ALIAS
    elif found is None:
        new = _newcomer(draft, by, outcome.name, source)
        newcomers.start([new], by)
        found = new.prompt
        _started(outcome, new)
    else:
        version = _next(draft, found, by, source)
        outcome.did = VERSION if version else SAME
    if draft.alias:
        _alias(draft, found, outcome)
    outcome.url = found.get_absolute_url()
    if version:
        outcome.number = version.number
        _label(draft, version, by, outcome)


def _next(draft: Draft, found: Prompt, by: Membership, source: str) -> PromptVersion | None:
    """The next version, or None where it would say the same. What the file says nothing about stays as it is here: the
    types of variables, parameters, the answer's schema, the few-shot set."""
    if found.kind != draft.kind:
        raise bulk.NotDone(
            f"{found.name} is a {found.kind} prompt here and a {draft.kind} prompt there. Give it another name."
        )
    newest = found.versions.select_related("examples").get(number=found.latest)
    typed = {spec["name"]: spec for spec in draft.typed}
    specs = [*(spec for spec in newest.variables if spec["name"] not in typed), *typed.values()]
    config, schema = draft.config or newest.config, draft.schema or newest.schema
    content = checked_content(found, draft.messages, specs, config, schema, newest.shots)
    if all(getattr(newest, name) == value for name, value in content.items()):
        return None
    tags = bulk.clean_tags([*found.tags, *draft.tags])
    if tags != found.tags:
        found.change(tags=tags)
    return found.save_version(
        by.user,
        based_on=None,
        messages=draft.messages,
        variables=specs,
        config=config,
        schema=schema,
        examples=newest.examples,
        shots=newest.shots,
        note=_note(draft, source),
    )


def _alias(draft: Draft, found: Prompt, outcome: Outcome) -> None:
    alias, _ = PromptAlias.objects.get_or_create(
        team_id=found.team_id, alias=draft.alias[:100], defaults={"prompt": found}
    )
    if alias.prompt_id != found.pk:
        raise bulk.NotDone(f"{draft.alias} already stands for {alias.prompt.name}.")
    outcome.notes.append(f"Answers to {draft.alias} on /v1.")
    has = {spec["name"] for spec in found.versions.get(number=found.latest).variables}
    if unknown := [spec["name"] for spec in draft.variables if spec["name"] not in has]:
        outcome.notes.append(f"The call names {', '.join(unknown)}, which the prompt has not; it will be refused.")


def _label(draft: Draft, version: PromptVersion, by: Membership, outcome: Outcome) -> None:
    """Labels move as if the person had moved them; one that they may not move is said and left."""
    for name in draft.labels:
        try:
            PromptLabel.move(version, name, by=by)
        except LabelRefused as refusal:
            outcome.notes.append(_not_set(name, str(refusal)))
