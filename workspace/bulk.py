"""One act on many prompts at once: put away and take back out, tag, move to another folder.

Each is one transaction: all of them or none, and every prompt has its own line in the activity feed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import F, QuerySet

from jobs import notices
from workspace.models import Activity, Archived, Prompt, Team, User
from workspace.prompts import PromptError, checked_name, tidy_name

MOST = 500  # prompts in one act
MAX_TAGS, MAX_TAG = 30, 40


class NotDone(Exception):
    """An act that was refused as a whole; the text says why."""


def clean_tags(text: str | Sequence[str]) -> list[str]:
    """Tags from a typed line ("a, b") or a list: trimmed, each once."""
    words = text.split(",") if isinstance(text, str) else [str(tag) for tag in text]
    return list(dict.fromkeys(tag for word in words if (tag := " ".join(word.split())[:MAX_TAG])))[:MAX_TAGS]


def archive(prompts: Sequence[Prompt], by: User) -> datetime | None:
    """Put them away. Returns the moment, which `taken_back` takes: all of one act carry the same."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT now()")
            [at] = cursor.fetchone()
        live = [prompt for prompt in prompts if prompt.archived_at is None]
        _write(live, by, "archived", archived_at=at)
    return at if live else None


def put_away_at(team: Team, at: datetime) -> QuerySet[Prompt]:
    return Prompt.objects.filter(team=team, archived_at=at)


def restore(prompts: Sequence[Prompt], by: User) -> list[str]:
    """Take them back out. Returns the names that stay away because another prompt has taken them since."""
    back: list[Prompt] = []
    taken: list[Prompt] = []
    live = set(
        Prompt.objects.filter(
            team__in={prompt.team_id for prompt in prompts},
            name__in=[prompt.name for prompt in prompts],
            archived_at=None,
        ).values_list("name", flat=True)
    )
    for prompt in prompts:
        if prompt.archived_at is None:
            continue
        (taken if prompt.name in live else back).append(prompt)
        live.add(prompt.name)
    try:
        with transaction.atomic():
            _write(back, by, "restored", archived_at=None)
    except IntegrityError:
        raise NotDone("One of the names was taken at this moment, so nothing was restored. Try again.") from None
    return [prompt.name for prompt in taken]


def tag(prompts: Sequence[Prompt], by: User, added: Sequence[str], removed: Sequence[str] = ()) -> int:
    """Put tags on and take tags off. Returns how many prompts changed. Raises NotDone and Archived."""
    changed = []
    with transaction.atomic():
        now = _held(prompts)
        for prompt in prompts:
            has = now[prompt.pk].tags
            prompt.tags = [one for one in dict.fromkeys([*has, *added]) if one not in removed]
            if len(prompt.tags) > MAX_TAGS:
                raise NotDone(f"{prompt.name} would have {len(prompt.tags)} tags; a prompt has at most {MAX_TAGS}.")
            if prompt.tags != has:
                changed.append(prompt)
        note = ", ".join([*(f"+{one}" for one in added), *(f"−{one}" for one in removed)])
        _write(changed, by, "tagged", each=lambda prompt: {"tags": prompt.tags}, note=note)
    return len(changed)


def move(prompts: Sequence[Prompt], by: User, folder: str) -> int:
    """Into a folder, which is to give them other names. Returns how many moved. Raises NotDone for a name that is
    taken, and Archived; then none moves."""
    names: dict[Any, str] = {}
    for prompt in prompts:
        try:
            name = checked_name(tidy_name(f"{folder}/{prompt.leaf}"))
        except PromptError as error:
            raise NotDone(str(error)) from None
        if name != prompt.name:
            names[prompt.pk] = name
    moved = [prompt for prompt in prompts if prompt.pk in names]
    doubled = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
    if doubled:
        raise NotDone(f"Two of them would be called {doubled[0]}. Rename one first; nothing was moved.")
    old = {prompt.pk: prompt.name for prompt in moved}
    try:
        with transaction.atomic():
            _held(prompts)
            for prompt in moved:
                prompt.name = names[prompt.pk]
            _write(
                moved,
                by,
                "moved",
                each=lambda prompt: {"name": prompt.name},
                was=lambda prompt: f"from {old[prompt.pk]}",
            )
    except IntegrityError:
        there = Prompt.objects.filter(team=moved[0].team, name__in=names.values(), archived_at=None)
        taken = there.values_list("name", flat=True).first()
        raise NotDone(f"There is already a prompt called {taken}. Rename one of the two; nothing was moved.") from None
    return len(moved)


def _held(prompts: Sequence[Prompt]) -> dict[Any, Prompt]:
    """Their rows by id, locked until the transaction ends. Raises Archived where one has been put away."""
    now: dict[Any, Prompt] = (
        Prompt.objects.select_for_update().order_by("pk").in_bulk([prompt.pk for prompt in prompts])
    )
    for row in now.values():
        if row.archived_at:
            raise Archived(row)
    return now


def _write(
    prompts: Sequence[Prompt],
    by: User,
    verb: str,
    *,
    each: Callable[[Prompt], dict[str, Any]] | None = None,
    was: Callable[[Prompt], str] | None = None,
    note: str = "",
    **same: Any,
) -> None:
    """Write the fields, bring the search up to date where words changed, record, tell the team."""
    with transaction.atomic():
        if not each:
            Prompt.objects.filter(pk__in=[prompt.pk for prompt in prompts]).update(version=F("version") + 1, **same)
        for prompt in prompts:
            if each:
                Prompt.objects.filter(pk=prompt.pk).update(version=F("version") + 1, **each(prompt))
                prompt.index()
            notices.changed(prompt.team_id, "prompt", prompt.pk, prompt.version + 1)
        Activity.objects.bulk_create(
            [Activity.of(prompt.team_id, by, verb, prompt, note=was(prompt) if was else note) for prompt in prompts]
        )
