"""The two commands for a studio without a browser: the first way in, and a key from the shell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Dataset, LanguageModel
from tests.conftest import PASSWORD, browser
from workspace.models import ApiKey, Invitation, Membership, Role, Team, User


@pytest.fixture(autouse=True)
def nothing_set(settings: Any, tmp_path: Path, db: None) -> None:
    settings.STUDIO_ADMIN_EMAIL = settings.STUDIO_ADMIN_PASSWORD = ""
    settings.STUDIO_MODELS = tmp_path


def run(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    call_command(*command)
    return capsys.readouterr().out.strip()


def link_in(printed: str) -> str:
    return re.search(r"http://[^/]+(/invite/\S+)", printed)[1]


class TestFirstStart:
    def test_without_an_address_it_prints_a_link_that_makes_the_first_owner(self, capsys: Any) -> None:
        link = link_in(run(capsys, "bootstrap"))
        form = {"team": "Lighthouse", "name": "Alice", "email": "alice@example.com", "password": PASSWORD}
        assert browser().post(link, form).status_code == 302
        assert Membership.objects.get().role == Role.OWNER
        assert Dataset.objects.filter(team__slug="lighthouse").exists()  # the demo data
        assert run(capsys, "bootstrap") == ""

    def test_until_then_each_start_prints_a_link_and_only_the_newest_works(self, capsys: Any) -> None:
        older, newer = (link_in(run(capsys, "bootstrap")) for _ in range(2))
        assert (browser().get(older).status_code, browser().get(newer).status_code) == (404, 200)
        assert Invitation.objects.count() == 1

    def test_with_address_and_password_it_makes_the_owner_and_a_team_once(self, capsys: Any, settings: Any) -> None:
        settings.STUDIO_ADMIN_EMAIL, settings.STUDIO_ADMIN_PASSWORD = "Alice@example.com", PASSWORD
        run(capsys, "bootstrap")
        alice = User.objects.get(email="alice@example.com")
        assert alice.check_password(PASSWORD)
        assert alice.memberships.get().role == Role.OWNER
        settings.STUDIO_ADMIN_PASSWORD = "purple monkey dishwasher"
        assert run(capsys, "bootstrap") == ""
        alice.refresh_from_db()
        assert alice.check_password(PASSWORD)  # the variables count on the first start only

    def test_a_weak_password_is_refused_with_a_reason(self, settings: Any) -> None:
        settings.STUDIO_ADMIN_EMAIL, settings.STUDIO_ADMIN_PASSWORD = "alice@example.com", "short"
        with pytest.raises(CommandError, match="too short"):
            call_command("bootstrap")
        assert not User.objects.exists()


def test_the_bundled_model_is_registered_as_it_describes_itself(tmp_path: Path, settings: Any, alice: User) -> None:
    call_command("bootstrap")
    assert not LanguageModel.objects.exists()  # not prepared yet
    folder = tmp_path / settings.STUDIO_DEFAULT_MODEL
    folder.mkdir()
    facts = {
        "name": "Tiny",
        "parameters": 1000,
        "context_length": 64,
        "template_hash": "a" * 64,
        "licence": "apache-2.0",
    }
    (folder / "studio.json").write_text(json.dumps({**facts, "sha256": "b" * 64}))
    for _ in range(2):
        call_command("bootstrap")
    model = LanguageModel.objects.get()
    assert (model.key, model.name, model.parameters, model.path) == (
        settings.STUDIO_DEFAULT_MODEL,
        "Tiny",
        1000,
        folder,
    )


class TestKeyFromTheShell:
    def test_it_prints_only_the_key(self, team: Team, alice: User, capsys: Any) -> None:
        key = ApiKey.objects.authenticate(run(capsys, "create_api_key", "--email", "Alice@example.com"))
        assert (key.user, key.team) == (alice, team)

    def test_for_a_named_team(self, team: Team, alice: User, capsys: Any) -> None:
        other = Team.found("Beacon", alice)
        printed = run(capsys, "create_api_key", "--email", alice.email, "--team", "beacon")
        assert ApiKey.objects.authenticate(printed).team == other

    def test_a_stranger_gets_none(self, team: Team, charlie: User) -> None:
        for address in ("nobody@example.com", charlie.email):
            with pytest.raises(CommandError, match=re.escape(address)):
                call_command("create_api_key", "--email", address, "--team", team.slug)
