"""What is brought into a conversation beside the words: a file's text, a prompt, examples. Reading files is
workspace/documents.py; how the model reads an attachment is workspace/chats.py."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Self

from django.db import models, transaction
from django.db.models import Q

from jobs.models import StoredFile
from workspace.chats import MAX_SYSTEM, Asked, Refused, framed, parted
from workspace.models.chats import Chat
from workspace.models.examples import ExampleSetVersion
from workspace.models.messages import Message
from workspace.models.people import Team, User
from workspace.models.prompt_versions import PromptVersion
from workspace.prompts import PromptError


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    def waiting(self, chat: Chat, user: User) -> Self:
        """What `user` has brought into the composer and not sent yet."""
        return self.filter(chat=chat, author=user, message=None).light()

    def light(self) -> Self:
        """Without the text, which may be long, and with what a chip shows: asked for apart, because most chats have none."""
        return self.defer("text").prefetch_related("prompt_version", "examples")

    def send(self, said: Message, author: User, wanted: Sequence[uuid.UUID]) -> None:
        """Send these of the chat (or its pair's) with `said`, which is stored later in the transaction, in this order: those
        that wait in its author's composer are taken, others are said again. Raises Refused for one that is not here."""
        chat = said.chat
        ours = Q(chat=chat) | Q(chat__beside=chat) | Q(chat=chat.beside_id)
        rows = {row.pk: row for row in self.select_for_update(of=("self",)).filter(ours, pk__in=wanted)}
        for key in dict.fromkeys(wanted):
            if (row := rows.get(key)) is None:
                raise Refused(
                    "not_found", "A file of this message is no longer here. Add it again, or send without it."
                )
            if row.message_id is None and row.chat_id == chat.pk and row.author_id == author.pk:
                row.message = said
                row.save(update_fields=["message"])
            else:
                row = row.again(chat, author, said)
            said.prompt_version = row.prompt_version or said.prompt_version

    def files_in(self, chat: Chat) -> list[Attachment]:
        """Each file of the conversation once, the newest first."""
        rows = self.filter(chat=chat, kind=Attachment.Kind.FILE).exclude(message=None).light()
        return list({row.file_id: row for row in rows.order_by("created_at")}.values())[::-1]


class Attachment(models.Model):
    """Waiting in its author's composer (no message yet), or sent with a message."""

    class Kind(models.TextChoices):
        FILE = "file", "File"
        PROMPT = "prompt", "Prompt"
        EXAMPLES = "examples", "Examples"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="attachments")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="attachments")
    message = models.ForeignKey(Message, on_delete=models.CASCADE, null=True, related_name="attachments")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.FILE)
    file = models.ForeignKey("jobs.StoredFile", on_delete=models.RESTRICT, null=True, related_name="attachments")
    prompt_version = models.ForeignKey(PromptVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    examples = models.ForeignKey(ExampleSetVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    name = models.CharField(max_length=200)
    note = models.CharField(max_length=300, blank=True, help_text="What of the file is not here, if anything.")
    text = models.TextField(blank=True)  # a file's text; of a prompt, what went into the composer
    turns: models.JSONField[list[Asked]] = models.JSONField(default=list)  # read before the question
    characters = models.PositiveIntegerField(default=0)  # of the whole text
    kept = models.PositiveIntegerField(null=True, help_text="Characters of the text that are sent; null for all.")
    tokens = models.PositiveIntegerField(default=0)  # of what is sent, as the chat's model counted then
    undo: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # {"set": system, "before": {chat id: ...}}
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AttachmentQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def sent_text(self) -> str:
        return self.text if self.kept is None else self.text[: self.kept]

    @property
    def is_cut(self) -> bool:
        return self.kept is not None

    def framed(self) -> str:
        """A file as the model reads it, before the question."""
        return framed(self.name, self.sent_text, cut_from=self.characters if self.is_cut else None)

    def measure(self) -> None:
        """Count the tokens that the chat's model reads of this."""
        turns = self.turns if self.kind != self.Kind.FILE else [{"role": "user", "content": self.framed()}]
        self.tokens = self.chat.model.count_tokens(turns) if turns else 0

    def cut(self, room: int) -> None:
        """Keep as much of the beginning as `room` tokens hold; all of it if it fits. The text itself stays whole."""
        self.kept = None
        self.measure()
        while self.tokens > room and self.kept != 0:
            now = self.characters if self.kept is None else self.kept
            self.kept = max(0, min(int(now * room / self.tokens * 0.98), now - 100))
            self.measure()
        self.save(update_fields=["kept", "tokens"])

    def uncut(self) -> None:
        self.kept = None
        self.measure()
        self.save(update_fields=["kept", "tokens"])

    def again(self, chat: Chat, author: User, message: Message | None = None) -> Attachment:
        """The same once more, for another message."""
        return Attachment.objects.create(
            team=self.team, author=author, chat=chat, message=message, kind=self.kind, file=self.file,
            prompt_version=self.prompt_version, examples=self.examples, name=self.name, note=self.note, text=self.text,
            turns=self.turns, characters=self.characters, kept=self.kept, tokens=self.tokens,
        )  # fmt: skip

    def remove(self) -> None:
        """Take it out of the composer. Its file goes with the last attachment that holds it."""
        with transaction.atomic():
            file = self.file
            self.delete()
            if file and not file.attachments.exists():
                path = file.path
                file.delete()
                transaction.on_commit(lambda: path.unlink(missing_ok=True))

    @classmethod
    def of_file(cls, file: StoredFile, *, chat: Chat, author: User, text: str, note: str) -> Attachment:
        attachment = cls(
            team=chat.team, author=author, chat=chat, file=file, name=file.filename, text=text, note=note,
            characters=len(text),
        )  # fmt: skip
        attachment.measure()
        attachment.save(force_insert=True)
        return attachment

    @classmethod
    def of_prompt(cls, version: PromptVersion, values: Mapping[str, Any], *, chat: Chat, author: User) -> Attachment:
        """Fill a prompt in for the next message: its system message becomes the chat's system prompt at once, its
        examples go before the question, and its question is `text`, for the composer. The chat itself is its history.
        Raises PromptError."""
        rendered = version.render(values, count=chat.model.count_tokens)
        system, turns, question = parted(rendered.messages)
        if len(system) > MAX_SYSTEM:
            raise PromptError(
                "too_long",
                f"The prompt's system message has {len(system):,} characters; a chat's has at most {MAX_SYSTEM:,}.",
            )
        with transaction.atomic():
            before = {}
            for one in [chat, chat.beside]:
                if one and system and one.system != system:
                    before[str(one.pk)] = one.system
                    one.change(system=system)
            for old in cls.objects.waiting(chat, author).filter(kind=cls.Kind.PROMPT):
                before |= old.undo.get("before", {})
                old.remove()
            attachment = cls(
                team=chat.team, author=author, chat=chat, kind=cls.Kind.PROMPT, prompt_version=version,
                name=str(version)[:200], text=question, turns=turns,
                undo={"set": system, "before": before} if before else {},
            )  # fmt: skip
            attachment.measure()
            attachment.save(force_insert=True)
            return attachment

    @classmethod
    def of_examples(cls, version: ExampleSetVersion, *, chat: Chat, author: User) -> Attachment:
        """The examples of a set before the next question: in order, as many as leave half of the model's room."""
        examples, turns, left = version.ordered(), [], chat.model.room() // 2
        for example in examples:
            pair = [{"role": "user", "content": example.input}, {"role": "assistant", "content": example.output}]
            left -= chat.model.count_tokens(pair)
            if left < 0:
                break
            turns += pair
        taken = len(turns) // 2
        note = "" if taken == len(examples) else f"{taken} of {len(examples)} examples: more do not fit this model"
        attachment = cls(
            team=chat.team, author=author, chat=chat, kind=cls.Kind.EXAMPLES, examples=version, name=str(version)[:200],
            turns=turns, note=note,
        )  # fmt: skip
        attachment.measure()
        attachment.save(force_insert=True)
        return attachment

    def undo_system(self) -> None:
        """Give the chat back the system prompt that this prompt has replaced, unless someone has changed it since."""
        for key, system in self.undo.get("before", {}).items():
            chat = Chat.objects.filter(team=self.team_id, pk=key).first()
            if chat and chat.system == self.undo["set"]:
                chat.change(system=system)
        self.undo = {}
        self.save(update_fields=["undo"])
