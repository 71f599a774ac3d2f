"""Labels: names that point at one version of a prompt and move, with a history; and who may move which.

Publishing is moving `production`. Lookup by label is `Prompt.find`; reviews are in workspace/models/reviews.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.db import models, transaction

from workspace.models.activity import Activity
from workspace.models.people import Membership, Role, Team, User
from workspace.models.prompt_versions import PromptVersion
from workspace.models.prompts import Prompt
from workspace.prompts import LATEST, PRODUCTION

LABEL = re.compile(r"[a-z0-9_\-.]{1,36}")  # Langfuse's rule
RULE = "A label is 1 to 36 characters: small letters, digits, - _ and dots."


class LabelRefused(Exception):
    """A label that may not be moved; the text says why."""


class ProtectedLabelQuerySet(models.QuerySet["ProtectedLabel"]):
    def least_role(self, team: Team, name: str) -> int:
        """The role that moving this label takes."""
        found = self.filter(team=team, name=name).values_list("role", flat=True).first()
        return int(found if found is not None else Role.EDITOR)


class ProtectedLabel(models.Model):
    """A label of this name takes at least `role` to be set, moved or taken off, on every prompt of the team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="protected_labels")
    name = models.CharField(max_length=36)
    role = models.PositiveSmallIntegerField(choices=Role.choices, default=Role.ADMIN)

    objects = ProtectedLabelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="protected_label_once")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def protect(cls, name: str, role: Role | None, *, by: Membership) -> None:
        """From now on `name` takes `role` in the team of `by`; None lifts the protection. Raises LabelRefused.
        Nobody asks for a role above their own, or takes away what a higher one has set."""
        if name == LATEST or not LABEL.fullmatch(name):
            raise LabelRefused(f"{RULE} The label latest moves by itself.")
        now = cls.objects.filter(team=by.team, name=name).first()
        if not by.may(max(role or 0, now.role if now else 0)):
            raise LabelRefused(f"Protecting {name} so takes a higher role than yours.")
        if role is None:
            cls.objects.filter(team=by.team, name=name).delete()
        else:
            cls.objects.update_or_create(team=by.team, name=name, defaults={"role": role})


class PromptLabel(models.Model):
    """Where a label points now. `latest` is never stored: it is the newest version."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="labels")
    version = models.ForeignKey(PromptVersion, on_delete=models.CASCADE, related_name="labels")
    name = models.CharField(max_length=36)
    moved_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["prompt", "name"], name="prompt_label_once")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def move(cls, version: PromptVersion, name: str, *, by: Membership) -> PromptLabel:
        """Point `name` at `version`, away from wherever it pointed. Raises LabelRefused and Archived."""
        prompt = version.prompt
        with transaction.atomic():
            prompt.held()  # what is checked below is still so when the label moves
            check_movable(prompt, name, by)
            if name == PRODUCTION:
                check_publishable(version)
            label = cls.objects.filter(prompt=prompt, name=name).select_related("version").first()
            if label and label.version_id == version.pk:
                return label
            before = label.version if label else None
            label, _ = cls.objects.update_or_create(prompt=prompt, name=name, defaults={"version": version})
            LabelMove.objects.create(prompt=prompt, name=name, before=before, after=version, by=by.user)
            if name == PRODUCTION:
                for touched in (before, version):
                    if touched:
                        touched.settle()
            prompt.change()
            Activity.record(prompt.team_id, by.user, "labelled", prompt, note=f"{name} → version {version.number}")
            return label

    @classmethod
    def drop(cls, prompt: Prompt, name: str, *, by: Membership) -> None:
        """Take a label off the prompt. Raises LabelRefused and Archived."""
        with transaction.atomic():
            prompt.held()
            check_movable(prompt, name, by)
            label = cls.objects.filter(prompt=prompt, name=name).select_related("version").first()
            if label is None:
                return
            LabelMove.objects.create(prompt=prompt, name=name, before=label.version, after=None, by=by.user)
            label.delete()
            if name == PRODUCTION:
                label.version.settle()
            prompt.change()
            Activity.record(prompt.team_id, by.user, "took a label off", prompt, note=name)


class LabelMove(models.Model):
    """One step in a label's history. `after` is empty where it was taken off."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="label_moves")
    name = models.CharField(max_length=36)
    before = models.ForeignKey(PromptVersion, on_delete=models.CASCADE, null=True, related_name="+")
    after = models.ForeignKey(PromptVersion, on_delete=models.CASCADE, null=True, related_name="+")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.name} of {self.prompt_id}"


def check_archivable(prompts: Sequence[Prompt], by: Membership) -> None:
    """Programs find an archived prompt under no label, so putting it away takes every role that its labels take, and so
    does taking it back out."""
    above = ProtectedLabel.objects.filter(team=by.team_id, role__gt=by.role).values("name")
    labels = PromptLabel.objects.filter(prompt__in=prompts, name__in=above).select_related("prompt__team")
    for label in labels.order_by("prompt__name", "name")[:1]:
        raise LabelRefused(f"{label.prompt} carries the label {label.name}, which takes a higher role than yours here.")


def check_movable(prompt: Prompt, name: str, by: Membership) -> None:
    if name == LATEST:
        raise LabelRefused("The label latest follows the newest version by itself.")
    if not LABEL.fullmatch(name):
        raise LabelRefused(RULE)
    least = Role(ProtectedLabel.objects.least_role(prompt.team, name))
    if not by.may(least):
        raise LabelRefused(f"The label {name} is protected here: moving it takes the role {least.label.lower()}.")


def check_publishable(version: PromptVersion) -> None:
    """Where the team asks for reviews, only a version that another person has approved goes to production."""
    if version.prompt.team.reviews_prompts and not version.reviews.approve():
        raise LabelRefused(
            f"This team reviews prompts: version {version.number} goes to production once someone else has approved it. "
            "Ask for a review first."
        )
