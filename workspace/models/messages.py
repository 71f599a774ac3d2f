"""Messages: what was said and what was answered, each under the one before it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from jobs.models import Generation
from workspace.chats import Asked
from workspace.models.feedback import Feedback, Opinions
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
    left_out = models.PositiveIntegerField(default=0, help_text="Oldest messages that this reply was asked without.")
    stand_in = models.ForeignKey(
        Feedback,
        on_delete=models.SET_NULL,
        null=True,
        related_name="stands_in",
        help_text="Whose correction later turns read in place of this reply.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    alone = False  # whether it is known, in memory, that nothing came with it

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

    def get_absolute_url(self) -> str:
        """Its chat, on its branch."""
        page = reverse("chat", kwargs={"team": self.chat.team.slug, "chat_id": self.chat_id})
        return f"{page}?at={self.pk}#turn-{self.pk}"

    @property
    def reply(self) -> Generation | None:
        """The generation whose words count: that of this message, or the repair of its JSON."""
        return self.generation.latest if self.generation else None

    @property
    def content(self) -> str:
        """What was said; a reply's words live in its generation."""
        reply = self.reply
        return (reply.text or reply.prefill) if reply else self.text

    def as_turns(self) -> list[Asked]:
        """As the model reads it: examples first, then the files and the words. A reply that someone has corrected may
        have the correction stand in for it."""
        if self.generation:
            content = self.stand_in.correction if self.stand_in and self.stand_in.correction else self.content
            return [{"role": "assistant", "content": content}]
        attached = [] if self.alone else list(self.attachments.all())
        before = [turn for one in attached for turn in one.turns]
        files = [one.framed() for one in attached if one.kind == one.Kind.FILE]
        return [*before, {"role": "user", "content": "\n\n".join([*files, self.text])}]

    @property
    def is_silent(self) -> bool:
        """Its worker has let the lease run out: nothing more will come, though nobody has said so yet."""
        reply = self.reply
        lease = reply.lease_until if reply and reply.is_active else None
        return lease is not None and lease < timezone.now()

    @property
    def first_token_seconds(self) -> float | None:
        wait = self.reply.first_token_ms if self.reply else None
        return None if wait is None else wait / 1000


@dataclass(frozen=True)
class Turn:
    """A message where it stands among its alternatives: the second of three, say."""

    message: Message
    number: int
    count: int
    previous: uuid.UUID | None
    following: uuid.UUID | None
    opinions: Opinions | None = None  # of a reply
    drawn_as: Any = None  # names the drawing that one reader gets, once it is settled

    @property
    def pk(self) -> uuid.UUID:
        return self.message.pk

    @property
    def stamp(self) -> str:
        """Changes when what the page shows of it changes, other than by streaming and by what people think of it."""
        reply = self.message.reply
        state = (
            f"{'repair ' if reply.repairs_id else ''}{reply.state} {reply.text_sha256[:8]}"
            f"{' silent' if self.message.is_silent else ''}"
            if reply
            else "said"
        )
        return f"{state} {self.number}/{self.count} {self.message.stand_in_id or ''}"

    @property
    def settled(self) -> tuple[Any, ...] | None:
        """All that decides how it is drawn, apart from its reader and its comments. None while more than this counts: it is
        being written, someone has an opinion of it, or something came with it."""
        message, reply = self.message, self.message.reply
        where = (message.pk, self.number, self.count, self.previous, self.following)
        if message.generation is None or reply is None:
            return None if message.attachments.all() else (*where, str(message.author))
        if not reply.is_final or reply.schema is not None or self.opinions is None or self.opinions.stamp:
            return None
        return (*where, str(message.generation.adapter or message.generation.model), self.stamp)

    @classmethod
    def of(cls, message: Message, siblings: list[uuid.UUID]) -> Turn:
        at = siblings.index(message.pk)
        following = siblings[at + 1] if at + 1 < len(siblings) else None
        return cls(message, at + 1, len(siblings), siblings[at - 1] if at else None, following)


def left_out(line: list[Message]) -> int:
    """How many of the oldest messages the latest reply in `line` was asked without; what follows leaves them out too."""
    return next((message.left_out for message in reversed(line) if message.generation), 0)
