"""What people think of an answer: thumbs, reasons, and the corrected text beside the original."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from workspace.models.people import User

REASONS = {
    "wrong": "Not correct",
    "instructions": "Ignored the instructions",
    "incomplete": "Incomplete",
    "too_long": "Too long",
    "tone": "Wrong tone",
    "format": "Wrong format",
    "made_up": "Made something up",
    "unsafe": "Harmful",
}


class Feedback(models.Model):
    """One person's opinion of one generation: a chat answer, a playground cell or an API reply."""

    generation = models.ForeignKey("jobs.Generation", on_delete=models.CASCADE, related_name="feedback")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    thumb = models.SmallIntegerField(null=True, choices=[(1, "Good"), (-1, "Bad")])
    reasons = ArrayField(models.CharField(max_length=20, choices=list(REASONS.items())), default=list, blank=True)
    note = models.TextField(blank=True, max_length=2000)
    correction = models.TextField(blank=True, max_length=100_000)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at"]
        constraints = [
            models.UniqueConstraint(fields=["generation", "user"], name="feedback_once"),
            models.CheckConstraint(condition=Q(thumb=None) | Q(thumb__in=[1, -1]), name="feedback_thumb"),
        ]

    def __str__(self) -> str:
        return f"{self.user} on {self.generation_id}"
