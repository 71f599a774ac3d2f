"""An API key from the shell, for scripts and tests. Prints the key and nothing else."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workspace.models import ApiKey, Membership, Role


class Command(BaseCommand):
    requires_system_checks = ()  # they would import every page
    help = "Make an API key for a person in one of their teams and print it, once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--team", help="The team's name in its address (/t/...). Default: the person's first team.")
        parser.add_argument("--name", default="made from the shell")

    def handle(self, *args: Any, **options: Any) -> None:
        memberships = Membership.objects.filter(user__email__iexact=options["email"], user__is_active=True)
        if options["team"]:
            memberships = memberships.filter(team__slug=options["team"])
        membership = memberships.select_related("team", "user").order_by("created_at").first()
        if membership is None:
            where = f"in the team {options['team']}" if options["team"] else "in any team"
            raise CommandError(f"There is no active person with the address {options['email']} {where}.")
        if not membership.may(Role.EDITOR):
            self.stderr.write(
                f"Note: {membership.user} is a {Role(membership.role).label.lower()} there, so this key only reads."
            )
        _, secret = ApiKey.issue(team=membership.team, user=membership.user, name=options["name"])
        self.stdout.write(secret)
