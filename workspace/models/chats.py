"""Chats: a tree of messages shared by a team. Replies are `jobs.Generation`s; a message only points at one."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.urls import reverse

from workspace.models.people import Team, User


class ChatQuerySet(models.QuerySet["Chat"]):
    def for_user(self, user: User) -> Self:
        return self.filter(team__memberships__user=user)

    def live(self) -> Self:
        return self.filter(archived_at=None)

    def search(self, words: str) -> Self:
        """Chats whose title or any message holds `words`."""
        said = Message.objects.filter(chat=models.OuterRef("pk")).filter(
            Q(text__icontains=words) | Q(generation__text__icontains=words)
        )
        return self.filter(Q(title__icontains=words) | models.Exists(said))


class Chat(models.Model):
    """One conversation. `version` grows with every change, so a page knows whether it is stale."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="chats")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="chats")
    title = models.CharField(max_length=120, blank=True)
    model = models.ForeignKey("jobs.LanguageModel", on_delete=models.PROTECT, related_name="+")
    adapter = models.ForeignKey("jobs.Adapter", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    system = models.TextField(blank=True)
    params: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # jobs.ml SamplingParams fields that were changed
    beside = models.OneToOneField("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = ChatQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]
        indexes = [models.Index(fields=["team", "-updated_at"])]

    def __str__(self) -> str:
        return self.title or "New chat"

    def get_absolute_url(self) -> str:
        return reverse("chat", kwargs={"team": self.team.slug, "chat_id": self.pk})


class Message(models.Model):
    """One turn. Siblings (same parent) are the alternatives behind the 2/3 arrows."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="children")
    role = models.CharField(max_length=10, choices=[("user", "User"), ("assistant", "Assistant")])
    author = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    text = models.TextField(blank=True)
    generation = models.OneToOneField("jobs.Generation", on_delete=models.PROTECT, null=True, related_name="+")
    client_id = models.CharField(max_length=64, null=True)
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
        return self.generation.text if self.generation else self.text
