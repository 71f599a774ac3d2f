"""A reply: what was asked, of what, and what came of it. Chat, the API and probes all use it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from jobs.models.lifecycle import Job


class Generation(Job):
    """One reply. While it runs its pieces are in the token log (jobs/tokenlog.py) and a snapshot is here at least every
    second; at the end `text` and `text_sha256` here are the authority."""

    LEASE: ClassVar[timedelta] = timedelta(seconds=8)  # a dead worker must show within 15 s
    MAX_ATTEMPTS: ClassVar[int] = 1  # a lost reply keeps its text and is continued by a person, never silently redone

    class Purpose(models.TextChoices):
        CHAT = "chat", "Chat"
        API = "api", "API"

    team = models.ForeignKey("workspace.Team", on_delete=models.CASCADE, related_name="generations")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    purpose = models.CharField(max_length=10, choices=Purpose.choices, default=Purpose.CHAT)
    model = models.ForeignKey("jobs.LanguageModel", on_delete=models.PROTECT, related_name="+")
    adapter = models.ForeignKey("jobs.Adapter", on_delete=models.SET_NULL, null=True, related_name="+")
    messages: models.JSONField[list[dict[str, str]]] = models.JSONField()
    params: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # SamplingParams fields
    prefill = models.TextField(blank=True, help_text="The part of the answer already written, when it is continued.")
    text = models.TextField(blank=True, help_text="The whole answer, prefill included.")
    sequence_number = models.PositiveIntegerField(default=0, help_text="The last token-log entry inside `text`.")
    text_sha256 = models.CharField(max_length=64, blank=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    first_token_ms = models.PositiveIntegerField(null=True)
    total_ms = models.PositiveIntegerField(null=True)
    finish_reason = models.CharField(max_length=12, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["queued_at"], condition=models.Q(state="queued"), name="generation_queue"),
            models.Index(fields=["lease_until"], condition=models.Q(state__in=["running", "pausing"]), name="generation_leases"),
            models.Index(fields=["team", "-queued_at"]),
        ]

    def __str__(self) -> str:
        return f"Generation {self.pk}"

    @property
    def tokens_per_second(self) -> float | None:
        """Of the decoding alone: the first token's wait is shown beside it."""
        if not self.total_ms or self.first_token_ms is None or self.completion_tokens < 2:
            return None
        seconds = max(self.total_ms - self.first_token_ms, 1) / 1000
        return (self.completion_tokens - 1) / seconds
