"""Chats: a tree of messages shared by a team. Replies are `jobs.Generation`s; a message only points at one.

What a message may hold and what the model is asked is in workspace/chats.py; this module keeps the rows.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Self

from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

from jobs.models import Adapter, Generation
from workspace.chats import Asked, Refused, checked_text, request_messages, title_from, turns_to_drop
from workspace.models.activity import Activity
from workspace.models.messages import Message, Turn, left_out
from workspace.models.people import Team, User
from workspace.models.shared import Shared

# What a page shows of a turn, and so all that is read of it: a generation also holds the whole conversation before it.
REPLY = (
    "state", "message", "lease_until", "params", "prefill", "text", "sequence_number", "text_sha256", "prompt_tokens",
    "completion_tokens", "first_token_ms", "total_ms", "finish_reason", "schema_problem", "repairs",
)  # fmt: skip
SHOWN = (
    "chat", "parent", "role", "text", "client_id", "left_out", "stand_in", "created_at", "author__name", "author__email",
    "generation__model__name", "generation__adapter__name",
    *(f"{reply}__{name}" for reply in ("generation", "generation__repair") for name in REPLY),
)  # fmt: skip

Parents = dict[uuid.UUID, uuid.UUID | None]
ALONE_TOO_LONG = "The last message is too long by itself, even without the turns before it. Edit it to be shorter."


class ChatQuerySet(models.QuerySet["Chat"]):
    def for_user(self, user: User) -> Self:
        return self.filter(team__memberships__user=user)

    def live(self) -> Self:
        return self.filter(archived_at=None)

    def listed(self) -> Self:
        """Without the right-hand halves of side-by-side pairs: those are reached through their left half."""
        return self.exclude(pk__in=Chat.objects.exclude(beside=None).values("beside"))

    def search(self, words: str) -> Self:
        """Chats whose title or any message holds `words`."""
        said = Message.objects.filter(chat=models.OuterRef("pk")).filter(
            Q(text__icontains=words) | Q(generation__text__icontains=words)
        )
        return self.filter(Q(title__icontains=words) | models.Exists(said))


class Chat(Shared):
    """One conversation. `beside` joins two chats that are asked the same questions: the page of the first shows both."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="chats")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="chats")
    title = models.CharField(max_length=120, blank=True)
    model = models.ForeignKey("jobs.LanguageModel", on_delete=models.PROTECT, related_name="+")
    adapter = models.ForeignKey("jobs.Adapter", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    system = models.TextField(blank=True)
    # jobs.ml SamplingParams fields that were changed
    params: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)
    beside = models.OneToOneField("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)

    objects = ChatQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]
        indexes = [models.Index(fields=["team", "-updated_at"])]

    def __str__(self) -> str:
        return self.title or "New chat"

    def get_absolute_url(self) -> str:
        return reverse("chat", kwargs={"team": self.team.slug, "chat_id": self.pk})

    @classmethod
    def start_pair(cls, author: User, adapter: Adapter) -> Chat:
        """Two new chats that are asked the same: the bare base on the left, `adapter` on the right."""
        with transaction.atomic():
            start = {
                "team": adapter.team,
                "author": author,
                "title": f"{adapter} beside its base",
                "model": adapter.base,
            }
            return cls.objects.create(beside=cls.objects.create(adapter=adapter, **start), **start)

    @property
    def answers(self) -> str:
        """Who answers here, in a word."""
        return str(self.adapter or self.model)

    # --- saying something

    def send(
        self,
        author: User,
        text: str,
        *,
        parent: uuid.UUID | None,
        client_id: str,
        attached: Sequence[uuid.UUID] = (),
    ) -> Message:
        """Say `text` after `parent` (a reply, or None for the beginning) and ask for a reply, which is returned.
        `attached` are attachments of this chat or its pair's: those that wait are taken, others are said again.

        An edited message is the same call with the old message's parent: a sibling, so a branch. Sent twice with one
        `client_id`, it is said once.
        """
        text = checked_text(text)
        with transaction.atomic():
            chat = self._held()
            parents, done = chat._known(client_id)
            if done:
                return done
            before = chat._line_to(parent, parents) if parent else []
            if before and (before[-1].reply is None or not before[-1].reply.is_final):
                raise Refused(
                    "busy", "The answer above is still being written. Stop it or wait for its end, then send again."
                )
            said = Message(chat=chat, role="user", author=author, text=text, parent_id=parent, client_id=client_id)
            if attached:
                chat.team.attachments.send(said, author, attached)
                chat._check_fits(said)
            chat.title = chat.title or title_from(text)
            if not parents:
                Activity.record(chat.team_id, author, "started", chat)
            said.alone = not attached
            return chat._ask(author, [*before, said], left_out(before))

    def regenerate(self, author: User, question: uuid.UUID, *, client_id: str, drop: bool = False) -> Message:
        """Another reply to `question`, beside those it has. `drop` leaves out oldest turns until it fits."""
        with transaction.atomic():
            chat = self._held()
            parents, done = chat._known(client_id)
            if done:
                return done
            line = chat._line_to(question, parents)
            if line[-1].role != "user":
                raise Refused("not_found", "Only a question can be answered again.")
            earlier = chat.messages.filter(parent=question).select_related("generation__repair").last()
            dropped = left_out([*line, earlier] if earlier else line)
            if drop:
                dropped = chat._drop_more(line, dropped)
            return chat._ask(author, line, dropped, client_id=client_id)

    def continue_(self, author: User, reply: uuid.UUID, *, client_id: str) -> Message:
        """Another reply that begins with what `reply` had written when it ended."""
        with transaction.atomic():
            chat = self._held()
            parents, done = chat._known(client_id)
            if done:
                return done
            *line, partial = chat._line_to(reply, parents)
            if partial.reply is None or not partial.reply.is_final:
                raise Refused("busy", "This answer is still being written.")
            return chat._ask(author, line, left_out([*line, partial]), client_id=client_id, prefill=partial.content)

    def _held(self) -> Chat:
        """This chat, locked until the transaction ends: messages are added one at a time."""
        rows = Chat.objects.select_for_update(of=("self",)).select_related("team", "model", "adapter")
        chat = rows.filter(pk=self.pk, team=self.team_id).first()
        if chat is None:
            raise Refused("not_found", "There is no such chat in this team.")
        if chat.archived_at:
            raise Refused("archived", "This chat is archived. Restore it to go on.")
        return chat

    def _known(self, client_id: str) -> tuple[Parents, Message | None]:
        """Each message's parent, and the reply that this `client_id` has asked for before, if it has: in one query."""
        rows = self.messages.order_by().values_list("pk", "parent_id", "client_id")
        parents: Parents = {pk: parent for pk, parent, _ in rows}
        again = [pk for pk, _, name in rows if name == client_id]
        message = self.messages.get(pk=again[0]) if again else None
        if message and message.role == "user":
            message = message.children.order_by("created_at").first()
        return parents, message

    def _line_to(self, message: uuid.UUID, parents: Parents) -> list[Message]:
        """The messages from the beginning down to `message`."""
        if message not in parents:
            raise Refused("not_found", "That message is not in this chat.")
        ids = [message]
        while at := parents[ids[-1]]:
            ids.append(at)
        rows = self.messages.select_related("generation__repair", "stand_in", "prompt_version")
        found = rows.prefetch_related("attachments").in_bulk(ids)
        return [found[pk] for pk in reversed(ids)]

    def _check_fits(self, said: Message) -> None:
        """Raises Refused for a message that the model could not read even by itself."""
        tokens, room = self._count(said.as_turns()), self.model.room()
        if tokens >= room:
            raise Refused(
                "too_long",
                f"With what is attached this message has about {tokens:,} tokens; {self.model} reads {room:,} at once. "
                "Cut the files to fit, or remove one.",
            )

    def _ask(
        self, author: User, line: list[Message], dropped: int, *, client_id: str | None = None, prefill: str = ""
    ) -> Message:
        """Ask for an answer to the last message of `line`, without the `dropped` oldest; what is new in it is stored too."""
        self.check_answerable()
        turns = [turn for message in line[dropped:] for turn in message.as_turns()]
        version = line[-1].prompt_version
        shape = {"json_schema": version.schema} if version and version.schema else {}
        generation = Generation.ask(
            team=self.team,
            author=author,
            purpose=Generation.Purpose.CHAT,
            model=self.model,
            adapter=self.adapter,
            messages=request_messages(self.system, turns),
            params={**self.params, **shape},
            prefill=prefill,
            prompt_version=version,
        )
        reply = Message(
            chat=self, role="assistant", parent=line[-1], generation=generation, client_id=client_id, left_out=dropped
        )
        self.messages.bulk_create([*(message for message in line if message._state.adding), reply])
        self.change_held(updated_at=Now(), title=self.title)
        return reply

    def _drop_more(self, line: list[Message], dropped: int) -> int:
        if dropped + 1 >= len(line):
            raise Refused("nothing_to_drop", ALONE_TOO_LONG)
        spoken = [{"role": message.role, "turns": message.as_turns()} for message in line]

        def count(rest: Sequence[dict[str, Any]]) -> int:
            return self._count([turn for one in rest for turn in one["turns"]])

        room = self.model.room()
        answer = min(int(self.params.get("max_tokens", 512)), room // 4)
        dropped = turns_to_drop(spoken, dropped + 1, count, room - answer)
        if count(spoken[dropped:]) >= room:
            raise Refused("nothing_to_drop", ALONE_TOO_LONG)
        return dropped

    def _count(self, turns: list[Asked]) -> int:
        return self.model.count_tokens(request_messages(self.system, turns))

    def check_answerable(self) -> None:
        """Raises Refused when the chat's model or adapter can no longer answer."""
        if not self.model.is_for(self.team_id):
            raise Refused("model_gone", f"{self.model} is no longer available here. Choose another model in the panel.")
        if self.adapter and self.adapter.archived_at:
            raise Refused(
                "model_gone", f"The adapter {self.adapter} is archived. Restore it, or choose another in the panel."
            )

    def archive(self, by: User, *, undo: bool = False) -> None:
        """With its other half."""
        with transaction.atomic():
            if self.beside:
                self.beside.change(archived_at=None if undo else Now())
            super().archive(by, undo=undo)

    # --- reading it

    def path(self, at: uuid.UUID | None = None, *, texts: bool = False) -> list[Turn]:
        """The branch through `at`, down to its latest message; the chat's latest branch by default.
        `texts` brings along what a page does not show: the texts of attached files, and corrections that stand in."""
        children: dict[uuid.UUID | None, list[uuid.UUID]] = defaultdict(list)
        parents: dict[uuid.UUID, uuid.UUID | None] = {}
        written = {}
        for pk, parent, created in self.messages.order_by("created_at").values_list("pk", "parent_id", "created_at"):
            children[parent].append(pk)
            parents[pk], written[pk] = parent, created
        if not parents:
            return []
        below = [at] if at in parents else list(children[None])
        for pk in below:  # grows while it is walked
            below += children[pk]
        leaf: uuid.UUID | None = max(below, key=written.__getitem__)
        ids = []
        while leaf:
            ids.append(leaf)
            leaf = parents[leaf]
        attached = self.attachments.all() if texts else self.attachments.light()
        messages = self.messages.select_related(
            "author", "generation__adapter", "generation__model", "generation__repair", *(["stand_in"] if texts else [])
        )
        messages = messages if texts else messages.only(*SHOWN)
        rows = messages.in_bulk(ids)
        said = [message for message in rows.values() if message.generation_id is None]  # replies have no attachments
        models.prefetch_related_objects(said, models.Prefetch("attachments", attached))
        return [Turn.of(rows[pk], children[parents[pk]]) for pk in reversed(ids)]
