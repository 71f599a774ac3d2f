"""Reviews: a version put before someone else, and what they said. Publishing is moving a label (workspace/models/labels.py)."""

from __future__ import annotations

from typing import Self

from django.db import models, transaction
from django.utils import timezone

from workspace.models.activity import Activity
from workspace.models.notifications import Notification
from workspace.models.people import Membership, Role, User
from workspace.models.prompt_versions import PromptVersion


class ReviewRefused(Exception):
    """A review that cannot be asked for or given; the text says why."""


class ReviewQuerySet(models.QuerySet["PromptReview"]):
    def decided(self) -> Self:
        """Those of someone other than the version's author, the newest first."""
        return self.exclude(verdict="").exclude(reviewer=models.F("version__author")).order_by("-decided_at", "-pk")

    def approve(self) -> bool:
        """Whether the last word among these is an approval."""
        last = self.decided().first()
        return last is not None and last.verdict == PromptReview.Verdict.APPROVED

    def open(self) -> Self:
        return self.filter(verdict="")


class PromptReview(models.Model):
    """A version put before a reviewer, and what came of it."""

    class Verdict(models.TextChoices):
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Changes asked for"

    version = models.ForeignKey(PromptVersion, on_delete=models.CASCADE, related_name="reviews")
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    asked_of = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")  # None: anyone who may
    question = models.TextField(blank=True, max_length=5000)
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    verdict = models.CharField(max_length=10, choices=Verdict.choices, blank=True)
    note = models.TextField(blank=True, max_length=5000)
    asked_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        ordering = ["-asked_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["version"], condition=models.Q(verdict=""), name="review_open_once")
        ]

    def __str__(self) -> str:
        return f"Review of {self.version}"

    @classmethod
    def ask(
        cls, version: PromptVersion, *, by: Membership, of: Membership | None = None, question: str = ""
    ) -> PromptReview:
        """Put `version` before one reviewer, or before whoever may and comes first. Raises ReviewRefused and Archived."""
        if of and not of.may(Role.EDITOR):
            raise ReviewRefused(f"{of.user} cannot review: that takes the role editor.")
        if of and of.user_id == version.author_id:
            raise ReviewRefused(f"{of.user} wrote this version. Ask someone else, or anyone.")
        with transaction.atomic():
            prompt = version.prompt.held()
            if cls.objects.open().filter(version=version).exists():
                raise ReviewRefused("A review of this version is asked for already. Wait for it, or withdraw it first.")
            review = cls.objects.create(
                version=version, asked_by=by.user, asked_of=of.user if of else None, question=question[:5000]
            )
            version.settle()
            prompt.change()
            Activity.record(prompt.team_id, by.user, "asked for a review of", prompt, note=f"version {version.number}")
            for user in [of.user] if of else review.may_decide().exclude(pk=by.user_id):
                review.tell(user, by.user, Notification.Reason.REVIEW_ASKED, f"{by.user} asks you to review {version}")
            return review

    def may_decide(self) -> models.QuerySet[User]:
        """Who can give this review: the one it was asked of, or any editor; never the version's author."""
        team = self.version.prompt.team
        able = User.objects.filter(memberships__team=team, memberships__role__gte=Role.EDITOR, is_active=True)
        able = able.exclude(pk=self.version.author_id)
        return able.filter(pk=self.asked_of_id) if self.asked_of_id else able

    def decide(self, *, by: Membership, approve: bool, note: str = "") -> None:
        """Give the verdict. Raises ReviewRefused for the version's own author, for someone it was not asked of, and
        where it has been given already; Archived."""
        if by.user_id == self.version.author_id:
            raise ReviewRefused("Nobody approves their own version. Ask someone else for it.")
        if not self.may_decide().filter(pk=by.user_id).exists():
            raise ReviewRefused(f"This review was asked of {self.asked_of}. Ask for one of your own to give another.")
        if not approve and not note.strip():
            raise ReviewRefused("Say what should change: the author has nothing to go by otherwise.")
        with transaction.atomic():
            prompt = self.version.prompt.held()
            held = PromptReview.objects.get(pk=self.pk)
            if held.verdict:
                raise ReviewRefused(f"{held.reviewer} has decided this already: {held.get_verdict_display().lower()}.")
            self.verdict = self.Verdict.APPROVED if approve else self.Verdict.REJECTED
            self.reviewer, self.note, self.decided_at = by.user, note[:5000], timezone.now()
            self.save(update_fields=["verdict", "reviewer", "note", "decided_at"])
            self.version.settle()
            prompt.change()
            verb = "approved" if approve else "asked for changes to"
            Activity.record(prompt.team_id, by.user, verb, prompt, note=f"version {self.version.number}: {note}")
            for user in {self.asked_by, self.version.author} - {by.user}:
                self.tell(user, by.user, Notification.Reason.REVIEW_DONE, f"{by.user} {verb} {self.version}")

    def withdraw(self, *, by: Membership) -> None:
        """Take the question back while nobody has answered it. Raises ReviewRefused and Archived."""
        if by.user_id not in (self.asked_by_id, self.version.author_id) and not by.may(Role.ADMIN):
            raise ReviewRefused(f"{self.asked_by} asked for this review, and can withdraw it; so can an admin.")
        with transaction.atomic():
            prompt = self.version.prompt.held()
            if not PromptReview.objects.open().filter(pk=self.pk).delete()[0]:
                raise ReviewRefused("The review has been given meanwhile.")
            self.version.settle()
            prompt.change()
            Activity.record(
                prompt.team_id, by.user, "withdrew a review of", prompt, note=f"version {self.version.number}"
            )

    def tell(self, user: User, actor: User, reason: str, text: str) -> None:
        version = self.version
        url = version.get_absolute_url()
        Notification.send(team=version.prompt.team, user=user, actor=actor, reason=reason, text=text, url=url)
