"""The cast and their browsers: alice owns the team, bob edits, dana only reads; charlie owns another team. The running
studio and the models, made once a session; and which tests run together in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.test import Client, override_settings
from xdist.scheduler import LoadScopeScheduling

from tests.stack import Stack, prepared_models, running
from tests.toy import make_toy
from workspace.models import ApiKey, Membership, Role, Team, User

PASSWORD = "correct horse battery"
PLAIN_FILES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
QUICK_HASH = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session", autouse=True)
def quick_settings() -> Iterator[None]:
    """No collectstatic before a page is drawn, and no slow password hash; the stack in tests/stack.py has both."""
    with override_settings(STORAGES=settings.STORAGES | PLAIN_FILES, PASSWORD_HASHERS=QUICK_HASH):
        yield


def person(email: str) -> User:
    return User.objects.create_user(email, PASSWORD, name=email.partition("@")[0].title())


def joined(team: Team, email: str, role: Role) -> User:
    user = person(email)
    Membership.objects.create(team=team, user=user, role=role)
    return user


def browser(user: User | None = None, **options: Any) -> Client:
    client = Client(**options)
    if user:
        client.force_login(user)
        # As signing in by the page does, which opens the way that llmstudio/sessions.py goes.
        UserSession.objects.create(user=user, ip="127.0.0.1", session_key=client.session.session_key)
    return client


@pytest.fixture
def alice(db: None) -> User:
    """Owns the team."""
    return person("alice@example.com")


@pytest.fixture
def team(alice: User) -> Team:
    return Team.found("Lighthouse", alice)


@pytest.fixture
def bob(team: Team) -> User:
    """Edits in alice's team."""
    return joined(team, "bob@example.com", Role.EDITOR)


@pytest.fixture
def dana(team: Team) -> User:
    """Only reads in alice's team."""
    return joined(team, "dana@example.com", Role.VIEWER)


@pytest.fixture
def charlie(db: None) -> User:
    """Owns the other team, and is nobody in alice's."""
    return person("charlie@example.com")


@pytest.fixture
def other_team(charlie: User) -> Team:
    return Team.found("Harbour", charlie)


@pytest.fixture
def as_nobody(db: None) -> Client:
    return browser()


@pytest.fixture
def as_alice(alice: User, team: Team) -> Client:
    return browser(alice)


@pytest.fixture
def as_bob(bob: User) -> Client:
    return browser(bob)


@pytest.fixture
def as_dana(dana: User) -> Client:
    return browser(dana)


@pytest.fixture
def as_charlie(charlie: User, other_team: Team) -> Client:
    return browser(charlie)


@pytest.fixture
def issue_key() -> Callable[[Team, User], str]:
    """Makes a key and returns its secret."""
    return lambda team, user: ApiKey.issue(team=team, user=user, name="test")[1]


@pytest.fixture
def api_key(team: Team, alice: User, issue_key: Callable[[Team, User], str]) -> str:
    """A key of alice's, with her role: owner."""
    return issue_key(team, alice)


@pytest.fixture(scope="session")
def studio() -> Iterator[Stack]:
    """The whole product, running."""
    with running() as stack:
        yield stack


@pytest.fixture(scope="session")
def base_dir() -> Path:
    """The real base model, prepared once per machine."""
    return prepared_models() / "smollm2-135m-instruct"


@pytest.fixture(scope="session")
def toy_base(base_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(base_dir, tmp_path_factory.mktemp("models") / "toy")


# The longest first, so that the processes of `pytest -n 2` end together.
FOLDERS = ["browser", "faults", "ml", "ops", "security", "api", "workspace", "jobs"]


def group(file: str) -> str:
    """Tests of one group run in one process, in turn: all that share the running studio, or taught adapters, or a file."""
    if "/browser/" in file or file.endswith("_client.py"):
        return "studio"
    return "engines" if "/test_engine_" in file else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {folder: place for place, folder in enumerate(FOLDERS)}
    items.sort(key=lambda item: (group(str(item.path)) != "studio", places.get(item.path.parent.name, len(FOLDERS))))


class Groups(LoadScopeScheduling):
    """Not xdist's own groups: they go by a name that pytest 9.2 no longer reads, and then do nothing, silently."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid.partition("::")[0])


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    config.option.loadscopereorder = False
    return Groups(config, log)
