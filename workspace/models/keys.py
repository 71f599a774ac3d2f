"""Keys with which programs use the studio as one person in one team."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from workspace.models.people import Membership, Team, User


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def authenticate(self, secret: str) -> ApiKey | None:
        """The live key with this secret. A high-entropy secret needs no slow hash: SHA-256 and an index are enough."""
        if not secret.startswith(ApiKey.PREFIX) or len(secret) > 200:
            return None
        key = (
            self.filter(digest=hashlib.sha256(secret.encode()).hexdigest(), revoked_at=None, user__is_active=True)
            .filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
            .select_related("team", "user")
            .first()
        )
        if key and (key.last_used_at is None or timezone.now() - key.last_used_at > timedelta(minutes=1)):
            self.filter(pk=key.pk).update(last_used_at=timezone.now())
        return key

    def live(self) -> Self:
        return self.filter(revoked_at=None)

    def revoke(self) -> None:
        self.live().update(revoked_at=timezone.now())


class ApiKey(models.Model):
    """`sk-...`: acts as its person, in its team, with the role the person has there at that moment."""

    PREFIX = "sk-"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_keys")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=12, help_text="The last characters, to tell keys apart.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def issue(cls, *, team: Team, user: User, name: str, lifetime: timedelta | None = None) -> tuple[ApiKey, str]:
        """A new key and its secret, which is shown here once and cannot be read again."""
        secret = cls.PREFIX + secrets.token_urlsafe(32)
        key = cls.objects.create(
            team=team,
            user=user,
            name=name,
            digest=hashlib.sha256(secret.encode()).hexdigest(),
            hint=secret[-4:],
            expires_at=timezone.now() + lifetime if lifetime else None,
        )
        return key, secret

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    def membership(self) -> Membership | None:
        """The person's standing in the team now; None once they have left it."""
        return Membership.objects.filter(team=self.team_id, user=self.user_id).select_related("team", "user").first()
