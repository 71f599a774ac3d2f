"""Files brought into a conversation as text. Reading them is workspace/documents.py."""

from __future__ import annotations

import uuid

from django.db import models

from workspace.models.chats import Chat
from workspace.models.messages import Message
from workspace.models.people import Team, User


class Attachment(models.Model):
    """The text of a file, waiting in a chat's composer (no message yet) or sent with a message."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="attachments")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, null=True, related_name="attachments")
    message = models.ForeignKey(Message, on_delete=models.CASCADE, null=True, related_name="attachments")
    file = models.ForeignKey("jobs.StoredFile", on_delete=models.PROTECT, related_name="+")
    filename = models.CharField(max_length=200)
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.filename
