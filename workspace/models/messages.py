"""Messages: what was said and what was answered, each under the one before it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import models
from django.db.models import Q
from django.utils import timezone

from workspace.chats import request_messages
from workspace.models.people import User


class Message(models.Model):
    """One turn. Siblings (same parent) are the alternatives behind the 2/3 arrows."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    chat = models.ForeignKey("workspace.Chat", on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="children")
    role = models.CharField(max_length=10, choices=[("user", "User"), ("assistant", "Assistant")])
    author = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    text = models.TextField(blank=True)
    generation = models.OneToOneField("jobs.Generation", on_delete=models.PROTECT, null=True, related_name="+")
    client_id = models.CharField(max_length=64, null=True)
    prompt_version = models.ForeignKey(
        "workspace.PromptVersion", on_delete=models.SET_NULL, null=True, related_name="+", help_text="Inserted with /."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["chat", "client_id"], name="message_sent_once"),
            models.CheckConstraint(
                condition=Q(role="user", generation=None) | Q(role="assistant", generation__isnull=False),
                name="message_reply_has_generation",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:40]}"

    @property
    def content(self) -> str:
        """What was said; a reply's words live in its generation."""
        return (self.generation.text or self.generation.prefill) if self.generation else self.text

    def as_turn(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}

    @property
    def is_silent(self) -> bool:
        """Its worker has let the lease run out: nothing more will come, though nobody has said so yet."""
        lease = self.generation.lease_until if self.generation and self.generation.is_active else None
        return lease is not None and lease < timezone.now()

    @property
    def first_token_seconds(self) -> float | None:
        wait = self.generation.first_token_ms if self.generation else None
        return None if wait is None else wait / 1000


@dataclass(frozen=True)
class Turn:
    """A message where it stands among its alternatives: the second of three, say."""

    message: Message
    number: int
    count: int
    previous: uuid.UUID | None
    following: uuid.UUID | None

    @property
    def pk(self) -> uuid.UUID:
        return self.message.pk

    @property
    def stamp(self) -> str:
        """Changes when what the page shows of it changes, other than by streaming."""
        reply = self.message.generation
        state = (
            f"{reply.state} {reply.text_sha256[:8]}{' silent' if self.message.is_silent else ''}" if reply else "said"
        )
        return f"{state} {self.number}/{self.count}"

    @classmethod
    def of(cls, message: Message, siblings: list[uuid.UUID]) -> Turn:
        at = siblings.index(message.pk)
        following = siblings[at + 1] if at + 1 < len(siblings) else None
        return cls(message, at + 1, len(siblings), siblings[at - 1] if at else None, following)


def left_out(line: list[Message]) -> int:
    """How many of the oldest turns the latest reply in `line` was asked without; what follows leaves them out too."""
    last = next((i for i in range(len(line) - 1, -1, -1) if line[i].generation), None)
    if last is None or (generation := line[last].generation) is None:
        return 0
    asked = [turn for turn in generation.messages if turn["role"] != "system"]
    turns = [message.as_turn() for message in line[:last]]
    starts = (i for i, turn in enumerate(turns) if turn["role"] == "user")
    return next((i for i in starts if request_messages("", turns[i:]) == asked), 0)
