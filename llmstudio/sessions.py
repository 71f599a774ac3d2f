"""Who asks: the session, its person and their teams in one statement. Nearly every page begins with these three.

Django's way is three queries through the ORM, a sixth of a page's processor time; this is one, and takes a sixth of that.
Nothing is remembered: signing out, deactivation, a role that was taken count from the next request on, as before. The
person is found beside the session because django-allauth writes down who signed in with it; what the session itself says
decides, and where the two do not agree, or anything else is unusual, Django's own way is taken.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.middleware import AuthenticationMiddleware, get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends import db
from django.db import connection, models
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject

from workspace.models import Membership, Team, User

Row = TypeVar("Row", bound=models.Model)


def _columns(model: type[models.Model], alias: str) -> str:
    return ", ".join(f'{alias}."{field.column}"' for field in model._meta.concrete_fields)


OPENING = f"""
SELECT session.session_data, {_columns(User, "person")}, {_columns(Membership, "member")}, {_columns(Team, "team")}
FROM django_session AS session
LEFT JOIN usersessions_usersession AS seen ON seen.session_key = session.session_key
LEFT JOIN workspace_user AS person ON person.id = seen.user_id
LEFT JOIN workspace_membership AS member ON member.user_id = person.id
LEFT JOIN workspace_team AS team ON team.id = member.team_id
WHERE session.session_key = %s AND session.expire_date > now()
ORDER BY team.name
"""  # noqa: S608 - names of our own columns


class SessionStore(db.SessionStore):
    """Django's, which when it is read also has the `person` who signed in with it, and their `memberships`."""

    person: User | None = None
    memberships: list[Membership]

    def load(self) -> dict[str, Any]:
        with connection.cursor() as cursor:
            cursor.execute(OPENING, [self.session_key])
            rows = cursor.fetchall()
        if not rows:
            return super().load()  # which also forgets a key that opens nothing
        self.person, self.memberships = None, []
        for row in rows:
            values = iter(row[1:])
            person, member, team = _taken(User, values), _taken(Membership, values), _taken(Team, values)
            self.person = self.person or person
            if self.person and member and team:
                member.user, member.team = self.person, team
                self.memberships.append(member)
        return self.decode(rows[0][0])


def _taken(model: type[Row], values: Any) -> Row | None:
    """The next columns as a row of `model`; None where the join found none."""
    names = [field.attname for field in model._meta.concrete_fields]
    own = [next(values) for _ in names]
    return model.from_db("default", names, own) if own[names.index(model._meta.pk.attname)] is not None else None


def person_of(request: Any) -> User | AnonymousUser:
    """The one who came with the session if it says so too; else whomever Django finds, which may be nobody."""
    session = request.session
    signed_in = session.get(SESSION_KEY)
    person: User | None = getattr(session, "person", None)
    if (
        person
        and person.is_active
        and signed_in == str(person.pk)
        and session.get(BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS
        and constant_time_compare(session.get(HASH_SESSION_KEY, ""), person.get_session_auth_hash())
    ):
        request.opened_memberships = session.memberships
        return person
    found: User | AnonymousUser = get_user(request)
    return found


def memberships_of(request: Any) -> list[Membership]:
    """All teams of the signed-in person, by name."""
    if hasattr(request, "opened_memberships"):
        return list(request.opened_memberships)
    return list(Membership.objects.filter(user=request.user).select_related("team").order_by("team__name"))


class PersonMiddleware(AuthenticationMiddleware):
    def process_request(self, request: Any) -> None:
        super().process_request(request)  # request.auser, for asynchronous views
        request.user = SimpleLazyObject(lambda: person_of(request))
