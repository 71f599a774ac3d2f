"""People, the teams they share work in, and how someone new gets in."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models, transaction
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify


class UserQuerySet(models.QuerySet["User"]):
    pass


class UserManager(BaseUserManager["User"]):
    """Django needs a manager that can create users; the address is the name."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractUser):
    """Someone who signs in with an e-mail address."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = None  # type: ignore[assignment]
    first_name = last_name = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=80, blank=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_once")]

    def __str__(self) -> str:
        return self.name or self.email.partition("@")[0]

    @property
    def initials(self) -> str:
        words = str(self).replace(".", " ").split()
        return "".join(word[0] for word in words[:2]).upper()

    def get_full_name(self) -> str:
        return str(self)


class Role(models.IntegerChoices):
    """What a member may do; each role may do all that the ones below it may."""

    VIEWER = 10, "Viewer"
    ANNOTATOR = 20, "Annotator"
    EDITOR = 30, "Editor"
    ADMIN = 40, "Admin"
    OWNER = 50, "Owner"

    @property
    def explained(self) -> str:
        return {
            Role.VIEWER: "Reads everything in the team.",
            Role.ANNOTATOR: "Also rates answers and reviews rows.",
            Role.EDITOR: "Also chats, uploads data and starts fine-tunes.",
            Role.ADMIN: "Also invites people, changes roles and adds models.",
            Role.OWNER: "Also appoints admins and owners.",
        }[self]


class TeamQuerySet(models.QuerySet["Team"]):
    def for_user(self, user: User) -> Self:
        return self.filter(memberships__user=user)


class Team(models.Model):
    """The wall around work: everything belongs to one team and is shared by all of its members."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=50, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    members = models.ManyToManyField(User, through="Membership", related_name="teams")

    objects = TeamQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("team_home", kwargs={"team": self.slug})

    @classmethod
    def found(cls, name: str, owner: User) -> Team:
        """Start a team; its founder owns it."""
        with transaction.atomic():
            base = slugify(name)[:40] or "team"
            slug = base
            while cls.objects.filter(slug=slug).exists():
                slug = f"{base}-{secrets.token_hex(2)}"
            team = cls.objects.create(name=name, slug=slug)
            team.memberships.create(user=owner, role=Role.OWNER)
            return team


class Membership(models.Model):
    """A person in a team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.PositiveSmallIntegerField(choices=Role.choices, default=Role.EDITOR)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="membership_once")]
        ordering = ["-role", "created_at"]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"

    def may(self, role: int) -> bool:
        """Whether this member has at least `role`."""
        return self.role >= role


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> Self:
        return self.filter(accepted_at=None, expires_at__gt=timezone.now())

    def by_token(self, token: str) -> Invitation | None:
        """The open invitation that this link was made for, or None: used, expired and made-up links look the same."""
        return self.open().filter(digest=hashlib.sha256(token.encode()).hexdigest()).select_related("team").first()


class Invitation(models.Model):
    """A link that lets one person into a team with a role. Only its digest is stored; it works once and expires."""

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
    def issue(cls, *, team: Team | None, role: int, email: str = "", invited_by: User | None = None) -> tuple[Invitation, str]:
        """A new invitation and its token. The token is shown here once and cannot be read again."""
        token = secrets.token_urlsafe(32)
        invitation = cls.objects.create(
            team=team,
            email=email.lower(),
            role=role,
            invited_by=invited_by,
            digest=hashlib.sha256(token.encode()).hexdigest(),
            expires_at=timezone.now() + cls.LIFETIME,
        )
        return invitation, token
