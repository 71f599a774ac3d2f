"""A page begins with one statement for session, person and teams; what ends any of the three counts at once, as ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from workspace.models import Membership, Role, Team, User

pytestmark = pytest.mark.django_db


def prompts_of(team: Team) -> str:
    return f"/t/{team.slug}/prompts/"


def test_session_person_and_teams_are_one_statement(as_alice: Client, team: Team) -> None:
    with CaptureQueriesContext(connection) as captured:
        page = as_alice.get(prompts_of(team))
    opening = ("django_session", "workspace_user", "workspace_membership")
    asked = [
        query["sql"] for query in captured if any(f"FROM {name}" in query["sql"].replace('"', "") for name in opening)
    ]
    assert len(asked) == 1 and page.context["user"].name == "Alice" and page.context["my_teams"] == [team]


def signed_in(client: Client, team: Team) -> bool:
    answer = client.get(prompts_of(team))
    assert answer.status_code in (200, 302)
    return answer.status_code == 200


def expire(alice: User) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))


def deactivate(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)


def change_password(alice: User) -> None:
    alice.set_password("another horse")
    alice.save()


def sign_out(alice: User) -> None:
    Session.objects.all().delete()


@pytest.mark.parametrize("end", [expire, deactivate, change_password, sign_out])
def test_what_ends_a_session_ends_it_at_once(
    end: Callable[[User], None], as_alice: Client, alice: User, team: Team
) -> None:
    assert signed_in(as_alice, team)
    end(alice)
    assert not signed_in(as_alice, team)


def test_a_lost_role_or_place_in_the_team_counts_at_once(as_bob: Client, bob: User, team: Team) -> None:
    new = f"{prompts_of(team)}new/"
    assert as_bob.get(new).status_code == 200
    Membership.objects.filter(user=bob).update(role=Role.VIEWER)
    assert as_bob.get(new).status_code == 403
    Membership.objects.filter(user=bob).delete()
    assert as_bob.get(new).status_code == 404


def test_the_session_says_who_it_is_and_not_the_list_of_sessions(
    as_alice: Client, alice: User, charlie: User, team: Team, other_team: Team
) -> None:
    User.objects.filter(pk=charlie.pk).update(password=alice.password)  # so that the session's hash is theirs too
    UserSession.objects.filter(user=alice).update(user=charlie)
    assert as_alice.get(prompts_of(team)).context["user"] == alice
    assert as_alice.get(prompts_of(other_team)).status_code == 404


def test_a_session_that_is_on_no_list_is_good_too(as_alice: Client, alice: User, team: Team) -> None:
    assert UserSession.objects.filter(user=alice).delete()[0]
    page = as_alice.get(prompts_of(team))
    assert page.context["user"] == alice and list(page.context["my_teams"]) == [team]


def test_somebody_without_a_team_is_still_somebody(charlie: User) -> None:
    client = Client()
    client.force_login(charlie)
    assert client.get("/").status_code == 200
