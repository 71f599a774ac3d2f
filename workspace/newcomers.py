"""Many new prompts at once: for each what Prompt.start and then PromptLabel.move would write, in one statement a table.

One by one a prompt takes some 24 statements. The names must be free and the content checked; whoever calls does both. It does
not know where the prompts come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from jobs import notices
from workspace.models import Activity, LabelRefused, Membership, Prompt, PromptLabel, PromptVersion
from workspace.models.labels import LabelMove, check_movable, check_publishable
from workspace.prompts import MAX_NOTE, PRODUCTION


@dataclass
class Newcomer:
    """A prompt that is not stored yet, its first version, and the labels that it is to carry. Afterwards `refused` says
    which of those the person may not set, and why."""

    prompt: Prompt
    content: dict[str, Any]  # as `checked_content` gives it
    note: str
    labels: Sequence[str] = ()
    refused: dict[str, str] = field(default_factory=dict)


def start(newcomers: Sequence[Newcomer], by: Membership) -> None:
    """All of them or, with IntegrityError, none: a name was taken meanwhile."""
    versions, labels, moves, happened = [], [], [], []
    refusals: dict[str, str] = {}  # by label: the same for every new prompt of a team
    for new in newcomers:
        prompt = new.prompt
        prompt.latest, prompt.version = 1, 2
        prompt.search = prompt.searched(new.content["messages"])
        version = PromptVersion(prompt=prompt, number=1, author=by.user, note=new.note[:MAX_NOTE], **new.content)
        versions.append(version)
        happened.append(Activity.of(by.team_id, by.user, "created", prompt, note=new.note))
        for name in dict.fromkeys(new.labels):
            if name not in refusals:
                refusals[name] = _refusal(version, name, by)
            if refusals[name]:
                new.refused[name] = refusals[name]
                continue
            if name == PRODUCTION:
                version.status = version.Status.PUBLISHED
            labels.append(PromptLabel(prompt=prompt, version=version, name=name))
            moves.append(LabelMove(prompt=prompt, name=name, after=version, by=by.user))
            happened.append(Activity.of(by.team_id, by.user, "labelled", prompt, note=f"{name} → version 1"))
    with transaction.atomic():
        Prompt.objects.bulk_create([new.prompt for new in newcomers])
        PromptVersion.objects.bulk_create(versions)
        PromptLabel.objects.bulk_create(labels)
        LabelMove.objects.bulk_create(moves)
        Activity.objects.bulk_create(happened)
        if newcomers:  # nobody looks at one of them yet, and a list of prompts needs to hear it once
            notices.changed(by.team_id, "prompt", newcomers[-1].prompt.pk, newcomers[-1].prompt.version)


def _refusal(version: PromptVersion, name: str, by: Membership) -> str:
    """Why this label may not be put on a new prompt; empty if it may."""
    try:
        check_movable(version.prompt, name, by)
        if name == PRODUCTION:
            check_publishable(version)
    except LabelRefused as refusal:
        return str(refusal)
    return ""
