"""Comments on work items, who is told of them, and the notifications that tell."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Q

from workspace.models.people import Team, User


class CommentQuerySet(models.QuerySet["Comment"]):
    def on(self, kind: str, object_id: object) -> Self:
        return self.filter(kind=kind, object_id=str(object_id))

    def open(self) -> Self:
        return self.filter(resolved_at=None)


class Comment(models.Model):
    """Something said about an object of the team. Replies hang under the first comment, which alone is resolved."""

    class Kind(models.TextChoices):
        """What can be commented on; workspace/anchors.py finds the object and its page."""

        PROMPT_VERSION = "prompt_version", "Prompt version"
        MESSAGE = "message", "Chat message"
        CELL = "cell", "Playground cell"
        ROW = "row", "Data set row"
        EXAMPLE = "example", "Example"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    object_id = models.CharField(max_length=64)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="replies")
    text = models.TextField(max_length=10_000)
    mentioned = models.ManyToManyField(User, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    edited_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    objects = CommentQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        indexes = [models.Index(fields=["team", "kind", "object_id"], name="comment_anchor")]

    def __str__(self) -> str:
        return self.text[:60]


class NotificationQuerySet(models.QuerySet["Notification"]):
    def unread(self) -> Self:
        return self.filter(read_at=None)


class Notification(models.Model):
    """Something in a team that one person should know: a mention, a reply, a review asked or decided."""

    class Reason(models.TextChoices):
        MENTION = "mention", "Mentioned you"
        REPLY = "reply", "Replied"
        REVIEW_ASKED = "review_asked", "Asked for your review"
        REVIEW_DONE = "review_done", "Reviewed your version"

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="notifications")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notifications")
    actor = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=20, choices=Reason.choices)
    text = models.CharField(max_length=300)
    url = models.CharField(max_length=300)
    comment = models.ForeignKey(Comment, on_delete=models.CASCADE, null=True, related_name="notifications")
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField(null=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["user", "team", "-id"]),
            models.Index(fields=["user", "team"], condition=Q(read_at=None), name="notification_unread"),
        ]

    def __str__(self) -> str:
        return self.text
