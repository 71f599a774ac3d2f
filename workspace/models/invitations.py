"""How someone new gets in: a link that works once and expires. Only its digest is stored."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models, transaction
from django.urls import reverse
from django.utils import timezone

from workspace.models.people import NotPossible, Role, Team, User


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> Self:
        return self.filter(accepted_at=None, expires_at__gt=timezone.now())

    def by_token(self, token: str) -> Invitation | None:
        """The open invitation that this link was made for, or None: used, expired and made-up links look the same."""
        found = self.open().filter(digest=hashlib.sha256(token.encode()).hexdigest()).select_related("team").first()
        if found and found.team is None and User.objects.exists():
            return None  # the first owner has come in another way
        return found


class Invitation(models.Model):
    """A link that lets one person into a team with a role; without a team, it makes the studio's first owner."""

    LIFETIME = timedelta(days=7)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations", null=True)
    email = models.EmailField(blank=True, help_text="Empty: whoever holds the link (the first owner).")
    role = models.PositiveSmallIntegerField(choices=Role.choices, default=Role.EDITOR)
    digest = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.email or 'the first owner'} to {self.team or 'a new team'}"

    @classmethod
    def issue(
        cls, *, team: Team | None, role: int, email: str = "", invited_by: User | None = None
    ) -> tuple[Invitation, str]:
        """A new invitation and its link, which cannot be read again. It replaces earlier ones to the same address."""
        token = secrets.token_urlsafe(32)
        with transaction.atomic():
            cls.objects.open().filter(team=team, email=email.lower()).delete()
            invitation = cls.objects.create(
                team=team,
                email=email.lower(),
                role=role,
                invited_by=invited_by,
                digest=hashlib.sha256(token.encode()).hexdigest(),
                expires_at=timezone.now() + cls.LIFETIME,
            )
        return invitation, settings.STUDIO_URL + reverse("invitation", kwargs={"token": token})

    def use(self) -> None:
        """Spend it. Works once, whoever else holds the same link at the same moment."""
        if not Invitation.objects.open().filter(pk=self.pk).update(accepted_at=timezone.now()):
            raise NotPossible("This invitation has been used meanwhile.")
