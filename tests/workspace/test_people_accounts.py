"""Signing in and out, two factors, forgotten passwords, and what ends a session."""

from __future__ import annotations

import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.core.cache import cache
from django.test import Client

from tests.conftest import PASSWORD, browser
from workspace.models import Team, User

OTHER = "purple monkey dishwasher"


@pytest.fixture(autouse=True)
def no_attempts_yet() -> None:
    cache.clear()


def sign_in(email: str, password: str = PASSWORD) -> tuple[Client, str]:
    """A browser that tried to sign in, and where that led."""
    client = browser()
    response = client.post("/accounts/login/", {"login": email, "password": password})
    return client, response.headers.get("Location", "")


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def test_signing_in_and_out(alice: User, team: Team) -> None:
    client, led_to = sign_in("Alice@Example.com")
    assert led_to == "/"
    assert client.get("/profile/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/profile/")["Location"] == "/accounts/login/?next=/profile/"


def test_a_wrong_password_and_an_unknown_address_are_told_alike(alice: User) -> None:
    answers = []
    for email, password in [("alice@example.com", "wrong"), ("nobody@example.com", PASSWORD)]:
        response = browser().post("/accounts/login/", {"login": email, "password": password})
        answers.append(response.context["form"].non_field_errors() or response.context["form"].errors)
    assert answers[0] == answers[1]


def test_guessing_is_slowed_down(alice: User) -> None:
    for _ in range(12):
        browser().post("/accounts/login/", {"login": "alice@example.com", "password": "wrong"})
    client, _ = sign_in("alice@example.com")
    assert client.get("/profile/").status_code == 302  # even the right one, for now


def test_after_signing_in_people_land_on_the_page_they_wanted_but_never_elsewhere(alice: User) -> None:
    for wanted, got in [("/profile/", "/profile/"), ("https://evil.example/", "/")]:
        response = browser().post("/accounts/login/", {"login": alice.email, "password": PASSWORD, "next": wanted})
        assert response["Location"] == got


def test_a_deactivated_person_is_out_at_once_and_cannot_come_back(alice: User, team: Team) -> None:
    client, _ = sign_in(alice.email)
    alice.is_active = False
    alice.save()
    assert client.get("/profile/").status_code == 302
    _, led_to = sign_in(alice.email)
    assert led_to == "/accounts/inactive/"


class TestForgottenPassword:
    def reset_link(self, email: str) -> str:
        browser().post("/accounts/password/reset/", {"email": email})
        return re.search(r"http://\S+(/accounts/password/reset/key/\S+)", mail.outbox[-1].body)[1]

    def test_the_mailed_link_sets_a_new_password_once(self, alice: User) -> None:
        link = self.reset_link(alice.email)
        client = browser()
        form = client.get(link)["Location"]
        client.post(form, {"password1": OTHER, "password2": OTHER})
        assert sign_in(alice.email, OTHER)[1] == "/"
        assert "no longer works" in browser().get(link, follow=True).content.decode()

    def test_it_signs_the_person_out_everywhere(self, alice: User) -> None:
        elsewhere, _ = sign_in(alice.email)
        client = browser()
        form = client.get(self.reset_link(alice.email))["Location"]
        client.post(form, {"password1": OTHER, "password2": OTHER})
        assert elsewhere.get("/profile/").status_code == 302

    def test_an_unknown_address_gets_the_same_answer_and_no_mail(self, alice: User) -> None:
        known = browser().post("/accounts/password/reset/", {"email": alice.email})
        unknown = browser().post("/accounts/password/reset/", {"email": "nobody@example.com"})
        assert known["Location"] == unknown["Location"]
        assert [m.to for m in mail.outbox] == [[alice.email]]

    def test_a_mail_server_that_is_down_is_no_server_error(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*args: object, **kwargs: object) -> None:
            raise ConnectionRefusedError

        monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", refused)
        assert browser().post("/accounts/password/reset/", {"email": alice.email}).status_code == 302


def test_changing_the_password_ends_every_session(alice: User) -> None:
    here, elsewhere = sign_in(alice.email)[0], sign_in(alice.email)[0]
    here.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": OTHER, "password2": OTHER})
    assert [client.get("/profile/").status_code for client in (here, elsewhere)] == [302, 302]
    assert sign_in(alice.email, OTHER)[1] == "/"


def test_signing_out_everywhere_else(alice: User) -> None:
    here, elsewhere = sign_in(alice.email)[0], sign_in(alice.email)[0]
    assert here.get("/accounts/sessions/").context["session_count"] == 2
    here.post("/accounts/sessions/")
    assert [client.get("/profile/").status_code for client in (here, elsewhere)] == [200, 302]


class TestTwoFactors:
    def switch_on(self, client: Client) -> str:
        assert "reauthenticate" in client.get("/accounts/2fa/totp/activate/")["Location"]
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
        secret = client.get("/accounts/2fa/totp/activate/").context["form"].secret
        response = client.post("/accounts/2fa/totp/activate/", {"code": code(secret)})
        assert response["Location"] == "/accounts/2fa/recovery-codes/"
        return secret

    def test_signing_in_takes_the_code_too(self, alice: User) -> None:
        secret = self.switch_on(sign_in(alice.email)[0])
        cache.clear()  # a code works once; the next one is half a minute away
        client, led_to = sign_in(alice.email)
        assert led_to.startswith("/accounts/2fa/authenticate/")
        assert client.get("/profile/").status_code == 302
        client.post("/accounts/2fa/authenticate/", {"code": "000000"})
        assert client.get("/profile/").status_code == 302
        client.post("/accounts/2fa/authenticate/", {"code": code(secret)})
        assert client.get("/profile/").status_code == 200

    def test_the_secret_is_sealed_in_the_database(self, alice: User) -> None:
        secret = self.switch_on(sign_in(alice.email)[0])
        assert secret not in str(Authenticator.objects.values_list())

    def test_a_recovery_code_works_once(self, alice: User) -> None:
        first = sign_in(alice.email)[0]
        self.switch_on(first)
        recovery = first.get("/accounts/2fa/recovery-codes/").context["unused_codes"][0]
        for status in (200, 302):
            client, _ = sign_in(alice.email)
            client.post("/accounts/2fa/authenticate/", {"code": recovery})
            assert client.get("/profile/").status_code == status

    def test_switching_it_off_asks_who_is_there(self, alice: User) -> None:
        client = sign_in(alice.email)[0]
        self.switch_on(client)
        session = client.session
        session["account_authentication_methods"] = []  # signed in long ago
        session.save()
        assert "reauthenticate" in client.get("/accounts/2fa/totp/deactivate/")["Location"]


OUTSIDE = """/accounts/login/ /accounts/password/reset/ /accounts/password/reset/done/ /accounts/inactive/
    /accounts/password/reset/key/done/ /accounts/password/reset/key/x-y/ /invite/x/ /nothing/here/"""
INSIDE = """password/change/ 2fa/ 2fa/totp/activate/ 2fa/reauthenticate/ reauthenticate/ sessions/ logout/
    2fa/recovery-codes/ 2fa/recovery-codes/generate/ 2fa/totp/deactivate/"""


@pytest.mark.parametrize("path", OUTSIDE.split())
def test_every_page_outside_is_in_our_look(path: str, as_nobody: Client) -> None:
    assert 'class="plain-mark"' in as_nobody.get(path).content.decode()


@pytest.mark.parametrize("path", INSIDE.split())
def test_every_account_page_is_in_our_look(path: str, alice: User) -> None:
    client = sign_in(alice.email)[0]
    if "recovery" in path or "deactivate" in path or "2fa/reauth" in path:
        TestTwoFactors().switch_on(client)
    elif "activate" in path:
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert 'class="plain-mark"' in client.get(f"/accounts/{path}").content.decode()
