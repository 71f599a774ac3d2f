"""Notifications: what one person should know of, in their bell and by mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.urls import reverse

from jobs import notices
from jobs.models import Mail
from workspace.models.people import Team, User

if TYPE_CHECKING:
    from workspace.models.comments import Comment


class NotificationQuerySet(models.QuerySet["Notification"]):
    def of(self, team: Team, user: User) -> Self:
        return self.filter(team=team, user=user)

    def unread(self) -> Self:
        return self.filter(read_at=None)

    def unread_by(self, team: Team, user: User) -> int:
        """How many. Each page asks this, so it is written out: counting through the ORM takes six times as long."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT count(*) FROM {self.model._meta.db_table} "  # noqa: S608 - our own name
                "WHERE team_id = %s AND user_id = %s AND read_at IS NULL",
                [team.pk, user.pk],
            )
            return int(cursor.fetchone()[0])

    def read(self) -> int:
        """Mark these as read, and have their people's bells count again."""
        unread = self.unread()
        bells = set(unread.values_list("team_id", "user_id"))
        count = unread.update(read_at=Now()) if bells else 0
        for team_id, user_id in bells:
            notices.changed(team_id, "bell", user_id)
        return count

    def withdraw(self) -> None:
        """Delete these: what they tell of has been taken back."""
        bells = set(self.unread().values_list("team_id", "user_id"))
        self.delete()
        for team_id, user_id in bells:
            notices.changed(team_id, "bell", user_id)


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
    comment = models.ForeignKey("workspace.Comment", on_delete=models.CASCADE, null=True, related_name="notifications")
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

    @property
    def icon(self) -> str:
        return {"mention": "at-sign", "reply": "message-circle"}.get(self.reason, "badge-check")

    @classmethod
    def send(
        cls,
        *,
        team: Team,
        user: User,
        actor: User,
        reason: str,
        text: str,
        url: str,
        comment: Comment | None = None,
    ) -> Notification | None:
        """Tell `user` what `actor` did, in the caller's transaction: in their bell, and by mail if they want that.
        `text` is one whole sentence, `url` the page to open. Nobody is told of their own acts, and nobody who is not
        (or no longer) in the team is told anything: then None is returned."""
        if user == actor or not team.memberships.filter(user=user, user__is_active=True).exists():
            return None
        with transaction.atomic():
            told = cls.objects.create(
                team=team, user=user, actor=actor, reason=reason, text=clipped(text, 300), url=url[:300],
                comment=comment,
            )  # fmt: skip
            notices.changed(team.pk, "bell", user.pk)
            if user.mail_me:
                told._mail()
            return told

    def _mail(self) -> None:
        body = render_to_string(
            "workspace/mail/notification.txt",
            {
                "notification": self,
                "link": f"{settings.STUDIO_URL}{self.url}",
                "profile": f"{settings.STUDIO_URL}{reverse('profile')}#id_mail_me",
            },
        )
        label = self.get_reason_display()
        subject = f"{self.actor} {label[0].lower()}{label[1:]} ({self.team})"
        Mail.post(to=self.user.email, subject=clipped(subject, 200), body=body)


def clipped(text: str, most: int) -> str:
    """On one line, and cut to `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
