"""People, the teams they share work in, and their standing there."""

from __future__ import annotations

import secrets
import uuid
from typing import Any, ClassVar, Self

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models, transaction
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils.text import slugify

from jobs import notices


class NotPossible(Exception):
    """A change to a team's people that its rules forbid; the text says why."""


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
    mail_me = models.BooleanField(default=True, help_text="Mail about mentions, answers and reviews.")

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

    def standing_changed(self) -> None:
        """Have every open tab of this person's looked at again: they may have been signed out or removed."""
        for team_id in self.memberships.values_list("team_id", flat=True):
            notices.changed(team_id, "member", self.pk)


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
            Role.ANNOTATOR: "Also comments, rates answers and reviews rows.",
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
    reviews_prompts = models.BooleanField(default=False, help_text="Only approved versions may go to production.")
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

    def admit(self, user: User, role: int) -> Membership:
        """Let someone in. Whoever is in already keeps the role they have."""
        membership, new = self.memberships.get_or_create(user=user, defaults={"role": role})
        if new:
            record(self, user, "joined")
            notices.changed(self.pk, "member", user.pk)
        return membership


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

    @property
    def grants(self) -> list[Role]:
        """The roles this member may give to and take from others: an owner all, an admin those below their own."""
        if not self.may(Role.ADMIN):
            return []
        return [role for role in Role if role < self.role or self.role == Role.OWNER]

    def appoint(self, role: Role, *, by: Membership) -> None:
        """Give this member another role. Anyone may step down; the last owner stays."""
        with transaction.atomic():
            self._hold(by)
            stepping_down = by == self and role < self.role
            if not stepping_down and not {Role(self.role), role} <= set(by.grants):
                raise NotPossible(f"Only an owner may make {self.user} {role.label.lower()}.")
            if role < Role.OWNER:
                self._keep_an_owner()
            self.role = role
            self.save(update_fields=["role"])
            if not self.may(Role.ADMIN):
                self._withdraw_invitations()
            notices.changed(self.team_id, "member", self.user_id)

    def end(self, *, by: Membership) -> None:
        """Leave the team, or be removed. What they made stays; their keys and invitations there stop working."""
        with transaction.atomic():
            self._hold(by)
            if by != self and Role(self.role) not in by.grants:
                raise NotPossible(f"Only an owner may remove {self.user}.")
            self._keep_an_owner()
            self.team.api_keys.filter(user=self.user_id).revoke()
            self._withdraw_invitations()
            self.delete()
            record(
                self.team,
                by.user,
                "left" if by == self else "removed a member of",
                "" if by == self else str(self.user),
            )
            notices.changed(self.team_id, "member", self.user_id)

    def _hold(self, by: Membership) -> None:
        """Lock the team, so that two changes of standing come one after the other, and read both members afresh."""
        Team.objects.select_for_update().get(pk=self.team_id)
        try:
            self.refresh_from_db(fields=["role"])
            by.refresh_from_db(fields=["role"])
        except Membership.DoesNotExist:
            raise NotPossible("Someone has changed this team's members meanwhile. Look at the list again.") from None

    def _keep_an_owner(self) -> None:
        others = Membership.objects.filter(team=self.team_id, role=Role.OWNER).exclude(pk=self.pk)
        if self.role == Role.OWNER and not others.exists():
            raise NotPossible(f"{self.user} is the team's only owner. Make someone else an owner first.")

    def _withdraw_invitations(self) -> None:
        self.team.invitations.open().filter(invited_by=self.user_id).delete()


def record(team: Team, actor: User, verb: str, note: str = "") -> None:
    from workspace.models.activity import Activity  # which knows people

    Activity.record(team.pk, actor, verb, team, note=note)
