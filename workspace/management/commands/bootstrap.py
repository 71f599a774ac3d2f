"""What a studio needs before its first page: a way in, and the bundled model. Runs at each start, never twice over."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.db import transaction

from jobs.models import LanguageModel
from workspace.accounts import found_team
from workspace.models import Invitation, Role, User


class Command(BaseCommand):
    requires_system_checks = ()  # they would import every page
    help = (
        "Make the first owner (STUDIO_ADMIN_EMAIL, STUDIO_ADMIN_PASSWORD) or print a sign-up link; "
        "register the bundled model."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        register_bundled_model()
        if User.objects.exists():
            return
        if settings.STUDIO_ADMIN_EMAIL and settings.STUDIO_ADMIN_PASSWORD:
            owner = first_owner(settings.STUDIO_ADMIN_EMAIL, settings.STUDIO_ADMIN_PASSWORD)
            self.stdout.write(f"The first owner is {owner.email}.")
        else:
            _, link = Invitation.issue(team=None, role=Role.OWNER)
            self.stdout.write(f"Nobody has an account yet. Make the first one here, once: {link}")


def register_bundled_model() -> None:
    """Enter the prepared folder in the catalogue, as its studio.json describes it."""
    name = settings.STUDIO_DEFAULT_MODEL
    try:
        described = json.loads((settings.STUDIO_MODELS / name / "studio.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return  # not prepared on this host; the supervisor does that before it calls us
    facts = {field: described[field] for field in ("name", "parameters", "context_length", "licence", "template_hash")}
    LanguageModel.objects.update_or_create(
        key=name, defaults={**facts, "folder": name, "weights_sha256": described["sha256"]}
    )


def first_owner(email: str, password: str) -> User:
    user = User(email=email.lower())
    try:
        validate_email(email)
        validate_password(password, user)
    except ValidationError as error:
        raise CommandError(
            f"STUDIO_ADMIN_EMAIL or STUDIO_ADMIN_PASSWORD cannot be used: {' '.join(error.messages)} "
            "Set another one, or unset both to get a sign-up link."
        ) from error
    user.set_password(password)
    with transaction.atomic():
        user.save()
        found_team("My team", user)
    return user
