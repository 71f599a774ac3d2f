"""What people think of an answer: thumbs, reasons, and the corrected text beside the original.

An answer is any `jobs.Generation` of the team: a chat's, a playground cell's, an API reply's.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.db.models import Q

from jobs import notices
from jobs.models import Generation
from jobs.texts import typed
from workspace.models.people import User

PRAISE = {"correct": "Correct", "followed": "Followed the instructions", "clear": "Well put", "concise": "To the point"}
COMPLAINTS = {
    "wrong": "Not correct",
    "instructions": "Ignored the instructions",
    "incomplete": "Incomplete",
    "too_long": "Too long",
    "tone": "Wrong tone",
    "format": "Wrong format",
    "made_up": "Made something up",
    "unsafe": "Harmful",
}
REASONS = PRAISE | COMPLAINTS
MAX_NOTE = 2_000
MAX_CORRECTION = 100_000


class NotKept(ValueError):
    """Feedback that cannot be stored; the text says why."""


class FeedbackQuerySet(models.QuerySet["Feedback"]):
    def opinions(self, generations: Iterable[uuid.UUID], reader: User) -> dict[uuid.UUID, Opinions]:
        """What `reader` is shown beside each of these answers, in one query. Answers without an opinion are there too."""
        wanted = list(generations)
        by_answer: dict[uuid.UUID, list[Feedback]] = defaultdict(list)
        if wanted:
            for row in self.filter(generation__in=wanted).select_related("user"):
                by_answer[row.generation_id].append(row)
        return {key: Opinions.of(by_answer[key], reader) if key in by_answer else NOBODY_SAID for key in wanted}


class Feedback(models.Model):
    """One person's opinion of one generation."""

    generation = models.ForeignKey("jobs.Generation", on_delete=models.CASCADE, related_name="feedback")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    thumb = models.SmallIntegerField(null=True, choices=[(1, "Good"), (-1, "Bad")])
    reasons = ArrayField(models.CharField(max_length=20, choices=list(REASONS.items())), default=list, blank=True)
    note = models.TextField(blank=True, max_length=MAX_NOTE)
    correction = models.TextField(blank=True, max_length=MAX_CORRECTION)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = FeedbackQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]
        constraints = [
            models.UniqueConstraint(fields=["generation", "user"], name="feedback_once"),
            models.CheckConstraint(condition=Q(thumb=None) | Q(thumb__in=[1, -1]), name="feedback_thumb"),
        ]

    def __str__(self) -> str:
        return f"{self.user} on {self.generation_id}"

    @classmethod
    def give(cls, generation: Generation, user: User, **opinion: Any) -> None:
        """Keep what `user` thinks: any of thumb (1, -1, None), reasons, note, correction; what is not said stays as it
        was. An opinion that says nothing any more is taken away. Raises NotKept."""
        checked = checked_opinion(generation, opinion)
        with transaction.atomic():
            # Held, so that two presses of one person's cannot both find no row.
            Generation.objects.select_for_update(of=("self",)).only("pk").get(pk=generation.pk)
            row, _ = cls.objects.get_or_create(generation=generation, user=user)
            for name, value in checked.items():
                setattr(row, name, value)
            fitting = fitting_reasons(row.thumb)
            row.reasons = [reason for reason in row.reasons if reason in fitting]
            if row.thumb is None and not (row.reasons or row.note or row.correction):
                row.delete()
            else:
                row.save()
                if not row.correction:
                    row.stands_in.update(stand_in=None)
            notices.changed(generation.team_id, "generation", generation.pk, generation.sequence_number)


def fitting_reasons(thumb: int | None) -> dict[str, str]:
    """The reasons that go with a thumb: praise with one up, complaints with one down, all without one."""
    return REASONS if thumb is None else PRAISE if thumb == 1 else COMPLAINTS


def checked_opinion(generation: Generation, opinion: dict[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    if "thumb" in opinion:
        if opinion["thumb"] not in (1, -1, None):
            raise NotKept("A thumb is up, down or taken back.")
        checked["thumb"] = opinion["thumb"]
    if "reasons" in opinion:
        if unknown := [str(reason)[:40] for reason in opinion["reasons"] if reason not in REASONS]:
            raise NotKept(f"There is no reason {', '.join(unknown)}. Choose from those shown.")
        checked["reasons"] = [reason for reason in REASONS if reason in opinion["reasons"]]
    for name, most in (("note", MAX_NOTE), ("correction", MAX_CORRECTION)):
        if name in opinion:
            text = typed(str(opinion[name])).strip()
            if len(text) > most:
                raise NotKept(f"The {name} has {len(text):,} characters; at most {most:,} are kept. Shorten it.")
            checked[name] = text
    if checked.get("correction") and not generation.is_final:
        raise NotKept("The answer is still being written. Correct it when it is complete.")
    if checked.get("correction") == generation.text.strip():
        checked["correction"] = ""
    return checked


@dataclass(frozen=True)
class Opinions:
    """Everyone's opinion of one answer, as one reader sees it. Corrections are newest first."""

    mine: Feedback | None = None
    good: Sequence[str] = ()
    bad: Sequence[str] = ()
    reasons: Sequence[tuple[str, int]] = ()
    corrections: Sequence[Feedback] = ()
    notes: Sequence[Feedback] = ()
    stamp: str = field(default="", compare=False)

    @classmethod
    def of(cls, rows: Sequence[Feedback], reader: User) -> Opinions:
        counted = Counter(reason for row in rows for reason in row.reasons)
        return cls(
            mine=next((row for row in rows if row.user_id == reader.pk), None),
            good=[str(row.user) for row in rows if row.thumb == 1],
            bad=[str(row.user) for row in rows if row.thumb == -1],
            reasons=[(REASONS.get(reason, reason), number) for reason, number in counted.most_common()],
            corrections=[row for row in rows if row.correction],
            notes=[row for row in rows if row.note],
            stamp="-".join(f"{row.pk}.{row.updated_at:%s%f}" for row in rows),
        )

    @property
    def my_reasons(self) -> list[tuple[str, str, bool]]:
        """Each reason that fits the reader's thumb: its key, its words, and whether the reader has given it."""
        given, thumb = (self.mine.reasons, self.mine.thumb) if self.mine else ([], None)
        return [(key, words, key in given) for key, words in fitting_reasons(thumb).items()]


NOBODY_SAID = Opinions()
