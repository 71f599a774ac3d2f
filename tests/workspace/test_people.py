"""How people get in, and who may change whose standing in a team."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from tests.conftest import PASSWORD, browser, joined
from workspace.models import ApiKey, Invitation, Membership, NotPossible, Role, Team, User


@pytest.fixture(autouse=True)
def no_demo_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new team's demo rows have their own tests; here they would only take time."""
    monkeypatch.setattr("jobs.datasets.create_demo", lambda team: None)


def settings_url(team: Team, *rest: object) -> str:
    return f"/t/{team.slug}/settings/" + "".join(f"{part}/" for part in rest)


def invite(client: Client, team: Team, email: str, role: Role = Role.EDITOR) -> str:
    """Invite through the page; returns the path of the link that it shows once."""
    response = client.post(settings_url(team, "invitations"), {"email": email, "role": int(role)})
    assert response.status_code == 200, response.content
    return str(response.context["link"]).split(":8000")[1]


class TestInvitation:
    def test_a_newcomer_signs_up_with_the_link_and_is_in_the_team(
        self, as_alice: Client, as_nobody: Client, team: Team
    ) -> None:
        link = invite(as_alice, team, "Eve@Example.com")
        assert as_nobody.get(link).status_code == 200
        assert not User.objects.filter(email="eve@example.com").exists()  # looking changes nothing

        response = as_nobody.post(link, {"name": "Eve", "password": PASSWORD})

        assert response["Location"] == team.get_absolute_url()
        assert team.memberships.get(user__email="eve@example.com").role == Role.EDITOR
        assert as_nobody.get(settings_url(team)).status_code == 200  # signed in

    def test_the_link_is_mailed_and_shown_but_not_stored(self, as_alice: Client, team: Team) -> None:
        link = invite(as_alice, team, "eve@example.com")
        assert link in mail.outbox[0].body
        assert mail.outbox[0].to == ["eve@example.com"]
        token = link.split("/")[2]
        assert token not in str(Invitation.objects.values_list().get())
        assert token not in as_alice.get(settings_url(team)).content.decode()

    def test_without_a_mail_server_the_admin_is_told_to_pass_the_link_on(
        self, as_alice: Client, team: Team, settings: object
    ) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
        response = as_alice.post(settings_url(team, "invitations"), {"email": "eve@example.com", "role": 30})
        assert "No mail server is set up" in response.content.decode()

    def test_it_works_once(self, as_alice: Client, as_nobody: Client, team: Team) -> None:
        link = invite(as_alice, team, "eve@example.com")
        as_nobody.post(link, {"name": "Eve", "password": PASSWORD})
        second = browser().post(link, {"name": "Mallory", "password": PASSWORD})
        assert second.status_code == 404
        assert "no longer works" in second.content.decode()

    def test_two_who_use_it_at_the_same_moment_do_not_both_get_in(self, team: Team, alice: User) -> None:
        Invitation.issue(team=team, role=Role.EDITOR, email="eve@example.com", invited_by=alice)
        first, second = Invitation.objects.get(), Invitation.objects.get()  # both pages had it open
        first.use()
        with pytest.raises(NotPossible):
            second.use()

    def test_used_withdrawn_replaced_expired_and_made_up_links_look_the_same(
        self, as_alice: Client, as_nobody: Client, team: Team
    ) -> None:
        replaced = invite(as_alice, team, "eve@example.com")
        withdrawn = invite(as_alice, team, "eve@example.com")
        as_alice.post(settings_url(team, "invitations", Invitation.objects.get().pk))
        expired = invite(as_alice, team, "eve@example.com")
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        for link in (replaced, withdrawn, expired, "/invite/made-up/"):
            response = as_nobody.get(link)
            assert response.status_code == 404
            assert "no longer works" in response.content.decode()

    def test_someone_who_has_an_account_joins_with_one_click(
        self, as_alice: Client, as_charlie: Client, team: Team, charlie: User
    ) -> None:
        link = invite(as_alice, team, charlie.email, Role.VIEWER)
        assert as_charlie.get(link).status_code == 200
        assert as_charlie.post(link)["Location"] == team.get_absolute_url()
        assert team.memberships.get(user=charlie).role == Role.VIEWER

    def test_it_is_only_for_the_address_it_was_made_for(
        self, as_alice: Client, as_charlie: Client, team: Team, charlie: User
    ) -> None:
        link = invite(as_alice, team, "eve@example.com")
        response = as_charlie.post(link)
        assert response.status_code == 403
        assert "for someone else" in response.content.decode()
        assert not team.memberships.filter(user=charlie).exists()

    def test_an_address_that_has_an_account_cannot_be_taken_over(
        self, as_alice: Client, as_nobody: Client, team: Team, charlie: User
    ) -> None:
        link = invite(as_alice, team, charlie.email)
        response = as_nobody.post(link, {"name": "Mallory", "password": "purple monkey dishwasher"})
        assert response.status_code == 422
        assert "Sign in with it" in response.content.decode()
        charlie.refresh_from_db()
        assert charlie.check_password(PASSWORD)

    def test_a_weak_password_is_refused_and_nothing_typed_is_lost(
        self, as_alice: Client, as_nobody: Client, team: Team
    ) -> None:
        link = invite(as_alice, team, "eve@example.com")
        response = as_nobody.post(link, {"name": "Eve Stone", "password": "password12"})
        assert response.status_code == 422
        assert "too common" in response.content.decode()
        assert "Eve Stone" in response.content.decode()
        assert as_nobody.post(link, {"name": "Eve Stone", "password": PASSWORD}).status_code == 302

    def test_whoever_is_in_the_team_is_not_invited_again(self, as_alice: Client, team: Team, bob: User) -> None:
        response = as_alice.post(settings_url(team, "invitations"), {"email": bob.email, "role": 30})
        assert response.status_code == 422
        assert not Invitation.objects.exists()

    def test_an_admin_gives_no_role_they_do_not_outrank(self, team: Team, as_nobody: Client) -> None:
        erin = joined(team, "erin@example.com", Role.ADMIN)
        as_nobody.force_login(erin)
        for role, status in [(Role.OWNER, 422), (Role.ADMIN, 422), (Role.EDITOR, 200)]:
            response = as_nobody.post(
                settings_url(team, "invitations"), {"email": "eve@example.com", "role": int(role)}
            )
            assert response.status_code == status

    def test_signing_up_without_one_is_closed(self, as_nobody: Client) -> None:
        assert as_nobody.get("/accounts/signup/").status_code == 404
        posted = as_nobody.post("/accounts/signup/", {"email": "eve@example.com", "password1": PASSWORD})
        assert posted.status_code == 404
        assert not User.objects.exists()


class TestFirstOwner:
    def link(self) -> str:
        return Invitation.issue(team=None, role=Role.OWNER)[1].split(":8000")[1]

    def test_the_first_owner_makes_the_account_and_the_team(self, as_nobody: Client) -> None:
        form = {"team": "Lighthouse", "name": "Alice", "email": "Alice@example.com", "password": PASSWORD}
        response = as_nobody.post(self.link(), form)
        assert response["Location"] == "/t/lighthouse/"
        membership = Membership.objects.get()
        assert (membership.user.email, membership.role, membership.team.name) == (
            "alice@example.com",
            Role.OWNER,
            "Lighthouse",
        )

    def test_the_link_is_dead_once_somebody_has_an_account(self, as_nobody: Client, alice: User) -> None:
        assert as_nobody.get(self.link()).status_code == 404

    def test_a_newer_link_replaces_the_older(self, as_nobody: Client) -> None:
        older, newer = self.link(), self.link()
        assert as_nobody.get(older).status_code == 404
        assert as_nobody.get(newer).status_code == 200


class TestStanding:
    """Owners decide about everyone, admins about those below admin, anyone may step down; a team keeps an owner."""

    @pytest.mark.parametrize(
        ("by", "of", "to", "allowed"),
        [
            (Role.OWNER, Role.VIEWER, Role.OWNER, True),
            (Role.OWNER, Role.OWNER, Role.VIEWER, True),
            (Role.OWNER, Role.ADMIN, Role.EDITOR, True),
            (Role.ADMIN, Role.VIEWER, Role.EDITOR, True),
            (Role.ADMIN, Role.EDITOR, Role.ADMIN, False),
            (Role.ADMIN, Role.ADMIN, Role.EDITOR, False),
            (Role.ADMIN, Role.OWNER, Role.VIEWER, False),
            (Role.EDITOR, Role.VIEWER, Role.EDITOR, False),
        ],
    )
    def test_who_may_give_which_role(self, team: Team, by: Role, of: Role, to: Role, allowed: bool) -> None:
        actor = joined(team, "erin@example.com", by).memberships.get()
        other = joined(team, "frank@example.com", of).memberships.get()
        if allowed:
            other.appoint(to, by=actor)
        else:
            with pytest.raises(NotPossible):
                other.appoint(to, by=actor)
        other.refresh_from_db()
        assert other.role == (to if allowed else of)

    def test_nobody_raises_themselves(self, team: Team) -> None:
        erin = joined(team, "erin@example.com", Role.ADMIN).memberships.get()
        with pytest.raises(NotPossible):
            erin.appoint(Role.OWNER, by=erin)
        erin.appoint(Role.VIEWER, by=erin)  # down is free

    def test_the_last_owner_stays(self, as_alice: Client, team: Team, alice: User) -> None:
        me = team.memberships.get(user=alice)
        for post in [
            (settings_url(team, "members", me.pk), {"role": int(Role.VIEWER)}),
            (settings_url(team, "members", me.pk), {"remove": "1"}),
            (settings_url(team, "leave"), {}),
        ]:
            response = as_alice.post(*post)
            assert response.status_code == 409
            assert "only owner" in response.content.decode()
        me.refresh_from_db()
        assert me.role == Role.OWNER

    def test_two_owners_cannot_both_step_down(self, team: Team, alice: User) -> None:
        other = joined(team, "erin@example.com", Role.OWNER).memberships.get()
        mine = team.memberships.get(user=alice)
        other.appoint(Role.VIEWER, by=mine)
        stale = Membership.objects.get(pk=mine.pk)  # read before erin's change reached them
        with pytest.raises(NotPossible):
            stale.appoint(Role.VIEWER, by=stale)

    def test_a_removed_member_is_out_at_once(
        self, as_alice: Client, as_bob: Client, team: Team, bob: User, issue_key: object
    ) -> None:
        secret = issue_key(team, bob)
        link = invite(as_alice, team, "eve@example.com")
        Invitation.objects.update(invited_by=bob)
        assert as_bob.get(settings_url(team)).status_code == 200

        as_alice.post(settings_url(team, "members", team.memberships.get(user=bob).pk), {"remove": "1"})

        assert as_bob.get(settings_url(team)).status_code == 404
        assert ApiKey.objects.authenticate(secret) is None
        assert browser().get(link).status_code == 404  # what they gave away is withdrawn too

    def test_keys_stay_revoked_when_the_person_comes_back(
        self, team: Team, bob: User, alice: User, issue_key: object
    ) -> None:
        secret = issue_key(team, bob)
        team.memberships.get(user=bob).end(by=team.memberships.get(user=alice))
        team.admit(bob, Role.EDITOR)
        assert ApiKey.objects.authenticate(secret) is None

    def test_a_new_role_counts_from_the_next_click(
        self, as_alice: Client, as_bob: Client, team: Team, bob: User
    ) -> None:
        assert as_bob.post(settings_url(team, "keys"), {"name": "script", "days": "30"}).status_code == 200
        as_alice.post(settings_url(team, "members", team.memberships.get(user=bob).pk), {"role": int(Role.VIEWER)})
        assert as_bob.post(settings_url(team, "keys"), {"name": "script", "days": "30"}).status_code == 403

    def test_leaving(self, as_bob: Client, team: Team, bob: User) -> None:
        assert as_bob.post(settings_url(team, "leave"))["Location"] == "/"
        assert not team.memberships.filter(user=bob).exists()
        assert "You are in no team yet" in as_bob.get("/").content.decode()


class TestTeams:
    def test_anyone_may_start_a_team_and_owns_it(self, as_dana: Client, dana: User) -> None:
        response = as_dana.post("/teams/new/", {"name": "Night shift"})
        assert response["Location"] == "/t/night-shift/"
        assert Team.objects.get(slug="night-shift").memberships.get().role == Role.OWNER

    def test_equal_names_get_different_addresses(self, as_dana: Client, team: Team) -> None:
        as_dana.post("/teams/new/", {"name": team.name})
        assert Team.objects.filter(name=team.name).values("slug").distinct().count() == 2

    def test_renaming_keeps_the_address(self, as_alice: Client, team: Team) -> None:
        as_alice.post(settings_url(team), {"name": "Beacon"})
        assert Team.objects.get(slug=team.slug).name == "Beacon"

    def test_home_leads_to_the_team_i_was_in_last(self, as_alice: Client, team: Team, alice: User) -> None:
        later = Team.found("Beacon", alice)
        assert as_alice.get("/")["Location"] == team.get_absolute_url()
        as_alice.get(later.get_absolute_url())
        assert as_alice.get("/")["Location"] == later.get_absolute_url()


class TestKeys:
    def test_a_key_is_shown_once_and_works(self, as_bob: Client, team: Team, bob: User) -> None:
        response = as_bob.post(settings_url(team, "keys"), {"name": "script", "days": "30"})
        secret = response.context["secret"]
        assert secret in response.content.decode()
        key = ApiKey.objects.authenticate(secret)
        assert (key.user, key.team) == (bob, team)
        assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)
        assert secret not in as_bob.get(settings_url(team)).content.decode()
        assert secret not in str(ApiKey.objects.values_list().get())

    def test_an_expired_or_revoked_key_and_one_of_a_deactivated_person_are_refused(
        self, team: Team, bob: User, issue_key: object
    ) -> None:
        expired, revoked, idle = (issue_key(team, bob) for _ in range(3))
        keys = {key.hint: key for key in ApiKey.objects.all()}
        ApiKey.objects.filter(pk=keys[expired[-4:]].pk).update(expires_at=timezone.now())
        ApiKey.objects.filter(pk=keys[revoked[-4:]].pk).revoke()
        assert [bool(ApiKey.objects.authenticate(secret)) for secret in (expired, revoked, idle)] == [
            False,
            False,
            True,
        ]
        User.objects.update(is_active=False)
        assert ApiKey.objects.authenticate(idle) is None

    def test_members_see_and_revoke_their_own_keys_admins_all(
        self, as_alice: Client, as_bob: Client, team: Team, alice: User, bob: User
    ) -> None:
        hers, _ = ApiKey.issue(team=team, user=alice, name="alice's")
        his, _ = ApiKey.issue(team=team, user=bob, name="bob's")
        assert set(as_alice.get(settings_url(team)).context["keys"]) == {hers, his}
        assert set(as_bob.get(settings_url(team)).context["keys"]) == {his}
        assert as_bob.post(settings_url(team, "keys", hers.pk)).status_code == 404
        assert as_alice.post(settings_url(team, "keys", his.pk)).status_code == 302
        his.refresh_from_db()
        assert his.revoked_at


def test_changing_my_name(as_bob: Client, bob: User) -> None:
    as_bob.post("/profile/", {"name": "Robert Stone"})
    bob.refresh_from_db()
    assert (str(bob), bob.initials) == ("Robert Stone", "RS")
