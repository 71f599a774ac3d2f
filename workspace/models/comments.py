"""Comments on work items: threads that are answered, edited and resolved, and who is told of them.

What can be commented on, and where it is shown, is workspace/anchors.py; who a text mentions is workspace/mentions.py.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from django.db import connection, models, transaction
from django.db.models.functions import Now
from django.utils.safestring import SafeString

from jobs import notices
from jobs.texts import typed
from workspace import mentions
from workspace.models.activity import Activity
from workspace.models.notifications import Notification, clipped
from workspace.models.people import Membership, Role, Team, User

if TYPE_CHECKING:
    from workspace.anchors import Anchor

LONGEST = 10_000  # characters


OPEN_THREADS = """
SELECT object_id, part, count(*) FROM workspace_comment
WHERE team_id = %s AND kind = %s AND object_id = ANY(%s) AND parent_id IS NULL AND resolved_at IS NULL
GROUP BY object_id, part
"""


class CommentRefused(Exception):
    """A comment that cannot be stored or changed like this; the text says why."""


class CommentQuerySet(models.QuerySet["Comment"]):
    def on(self, kind: str, object_id: object, part: int | None = None) -> Self:
        """Comments on an object; with `part`, only those on that part of it."""
        found = self.filter(kind=kind, object_id=str(object_id))
        return found if part is None else found.filter(part=part)

    def threads(self) -> Self:
        return self.filter(parent=None)

    def open(self) -> Self:
        return self.filter(resolved_at=None)

    def count_open(self, team: Team, kind: str, ids: Iterable[object]) -> OpenThreads:
        """Open threads on each of many objects, in one query. Written out: with a hundred ids as a hundred parameters the
        ORM takes four times as long to ask as this."""
        with connection.cursor() as cursor:
            cursor.execute(OPEN_THREADS, [team.pk, kind, [str(key) for key in ids]])
            return OpenThreads(cursor.fetchall())


class OpenThreads:
    """How many threads are open on an object, or on one part of it."""

    def __init__(self, rows: Iterable[tuple[str, int | None, int]]) -> None:
        self.by_part = {(key, part): count for key, part, count in rows}
        self.by_object: Counter[str] = Counter()
        for (key, _), count in self.by_part.items():
            self.by_object[key] += count

    def of(self, object_id: object, part: int | None = None) -> int:
        return self.by_object[str(object_id)] if part is None else self.by_part.get((str(object_id), part), 0)


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
    part = models.PositiveSmallIntegerField(null=True, help_text="Which message of a prompt version, from 0.")
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="replies")
    text = models.TextField(max_length=LONGEST)
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

    @property
    def html(self) -> SafeString:
        """The text as the page shows it."""
        return mentions.as_html(self.text, self.mentioned.all())

    @classmethod
    def post(cls, anchor: Anchor, author: User, text: str, *, under: Comment | None = None) -> Comment:
        """Say `text` about the anchor, or in answer to the thread `under`, which an answer reopens. Tells whom it
        mentions, and everyone in the thread. Raises CommentRefused."""
        with transaction.atomic():
            if under is not None:
                under = cls.objects.select_for_update().filter(pk=under.parent_id or under.pk).first()
                if under is None:
                    raise CommentRefused("This thread has been deleted meanwhile. Start a new one instead.")
            comment = cls.objects.create(
                team=anchor.team, author=author, kind=anchor.kind, object_id=anchor.object_id,
                part=under.part if under else anchor.part, parent=under, text=checked(text),
            )  # fmt: skip
            told = comment._mention(anchor)
            if under is not None:
                cls.objects.filter(pk=under.pk).update(resolved_at=None, resolved_by=None)
                comment._tell_thread(anchor, under, told)
            verb = "answered a comment on" if under else "commented on"
            Activity.record(anchor.team.pk, author, verb, anchor.within, note=anchor.where, url=anchor.link(comment))
            comment.changed()
            return comment

    def edit(self, anchor: Anchor, text: str) -> None:
        """Change what was said; whoever is newly mentioned is told. Raises CommentRefused."""
        with transaction.atomic():
            text = checked(text)
            if text == self.text:
                return
            self.text = text
            if not Comment.objects.filter(pk=self.pk, deleted_at=None).update(text=text, edited_at=Now()):
                raise CommentRefused("This comment has been deleted meanwhile.")
            self._mention(anchor)
            self.changed()

    def remove(self) -> None:
        """Take it away. Where others have answered, "deleted" stands in its place until the last answer is gone too."""
        with transaction.atomic():
            root = Comment.objects.select_for_update().filter(pk=self.parent_id or self.pk).first()
            if root is None:
                return
            if self.pk == root.pk and root.replies.exists():
                root.notifications.all().withdraw()
                root.mentioned.clear()
                Comment.objects.filter(pk=root.pk).update(text="", deleted_at=Now())
            else:
                self.notifications.all().withdraw()
                Comment.objects.filter(pk=self.pk).delete()
                if root.deleted_at and not root.replies.exists():
                    root.delete()
            self.changed()

    def resolve(self, by: User, *, undo: bool = False) -> None:
        """Close the thread that this comment is in, or open it again."""
        root = self.parent_id or self.pk
        Comment.objects.filter(pk=root).update(resolved_at=None if undo else Now(), resolved_by=None if undo else by)
        self.changed()

    def may_be_removed_by(self, member: Membership) -> bool:
        return self.author_id == member.user_id or member.may(Role.ADMIN)

    def changed(self) -> None:
        notices.changed(self.team_id, "comments", f"{self.kind}:{self.object_id}")

    def _mention(self, anchor: Anchor) -> set[Any]:
        """Keep whom the text mentions and tell those it did not mention before; the ids of all."""
        people = User.objects.filter(memberships__team=self.team_id, is_active=True)
        meant = mentions.found(self.text, people) if "@" in self.text else []
        if len(meant) > mentions.MOST:
            raise CommentRefused(f"A comment mentions at most {mentions.MOST} people; this one has {len(meant)}.")
        before = set(self.mentioned.values_list("pk", flat=True))
        self.mentioned.set(meant)
        for user in meant:
            if user.pk not in before:
                self._tell(user, Notification.Reason.MENTION, f"{self.author} mentioned you on {anchor.name}", anchor)
        return {user.pk for user in meant}

    def _tell_thread(self, anchor: Anchor, root: Comment, told: set[Any]) -> None:
        said = Comment.objects.filter(models.Q(pk=root.pk) | models.Q(parent=root), deleted_at=None)
        for user in User.objects.filter(pk__in=said.values("author")).exclude(pk__in=told):
            self._tell(user, Notification.Reason.REPLY, f"{self.author} answered on {anchor.name}", anchor)

    def _tell(self, user: User, reason: str, what: str, anchor: Anchor) -> None:
        Notification.send(
            team=anchor.team, user=user, actor=self.author, reason=reason, url=anchor.link(self), comment=self,
            text=f"{what}: “{clipped(self.text, 120)}”",
        )  # fmt: skip


def checked(text: str) -> str:
    """What is stored of a text, or CommentRefused."""
    text = typed(text).strip()
    if not text:
        raise CommentRefused("The comment is empty. Write something first.")
    if len(text) > LONGEST:
        raise CommentRefused(f"A comment has at most {LONGEST:,} characters; this one has {len(text):,}. Shorten it.")
    return text
