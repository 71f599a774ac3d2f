"""How people get in and out: allauth bent to our rules, invitations by mail, and what a new team finds in it.

Nobody signs up without an invitation (its page: workspace/views/people.py). Whatever ends a session has the person's
open sockets looked at again at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.http import HttpRequest
from django.template.loader import render_to_string

from jobs import datasets
from jobs.secrets import seal, unseal
from workspace.models import Invitation, Team, User

log = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False  # people come by an invitation's own page

    def set_password(self, user: User, password: str) -> None:
        """A changed or reset password signs the person out everywhere."""
        super().set_password(user, password)
        SessionsAdapter().end_sessions(UserSession.objects.filter(user=user))

    def logout(self, request: HttpRequest) -> None:
        user = request.user
        super().logout(request)
        if isinstance(user, User):
            user.standing_changed()

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        try:
            super().send_mail(template_prefix, email, context)
        except OSError as error:  # smtplib's errors are OSErrors too; a page must not tell who has an account
            log.error("A mail (%s) could not be sent: %s", template_prefix, error)


class SessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]
    def end_sessions(self, sessions: Iterable[UserSession]) -> None:
        sessions = list(sessions)
        super().end_sessions(sessions)
        for user in {session.user for session in sessions}:
            user.standing_changed()


class TwoFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Whoever reads the database still cannot make codes."""

    def encrypt(self, text: str) -> str:
        return seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text)


def mail_works() -> bool:
    """Whether mail leaves this machine, or is only written to the log."""
    return not str(settings.EMAIL_BACKEND).endswith(("console.EmailBackend", "dummy.EmailBackend"))


def send_invitation(invitation: Invitation, link: str) -> bool:
    """Mail the link. False when it could not be sent: the admin then passes it on by hand."""
    if not mail_works():
        return False
    text = render_to_string("workspace/mail/invitation.txt", {"invitation": invitation, "link": link})
    try:
        send_mail(f"Join {invitation.team} on LLM Studio", text, None, [invitation.email])
    except OSError as error:
        log.error("The invitation of %s could not be sent: %s", invitation.email, error)
        return False
    return True


def found_team(name: str, owner: User) -> Team:
    """A team as people get it: with the demo data set, so that a first fine-tune needs no file."""
    with transaction.atomic():
        team = Team.found(name, owner)
        datasets.create_demo(team)
    return team


def accept(invitation: Invitation, user: User, team_name: str = "") -> Team:
    """Spend the invitation: `user` joins its team, or founds the first one."""
    with transaction.atomic():
        invitation.use()
        if invitation.team is None:
            return found_team(team_name, user)
        invitation.team.admit(user, invitation.role)
        return invitation.team
