"""People, sessions, chats and a remote model in a studio that a bench has started. Run beside it, in Django.

    python -m bench._cast '{"people": 100, "teams": 10, "upstream": "http://127.0.0.1:9000/v1"}'

Prints one JSON line: for each person their team's slug, a session, and a chat with the model named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.stack import ROOT, Stack


@dataclass(frozen=True)
class Person:
    team: str
    session: str
    chat: str


def cast(stack: Stack, **wanted: Any) -> list[Person]:
    """`people` in `teams`, each with a chat over `upstream` (or, without one, over the studio's own model)."""
    done = subprocess.run(
        [sys.executable, "-m", "bench._cast", json.dumps(wanted)], cwd=ROOT, check=True, text=True,
        stdout=subprocess.PIPE, env={**stack.env, "DJANGO_SETTINGS_MODULE": "llmstudio.settings"},
    )  # fmt: skip
    return [Person(**person) for person in json.loads(done.stdout.splitlines()[-1])]


def make(people: int = 1, teams: int = 1, upstream: str = "", params: dict[str, Any] | None = None) -> list[Any]:
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from bench._upstream import MODEL
    from jobs.models import LanguageModel
    from workspace.models import Chat, Membership, Role, Team, User

    model = LanguageModel.objects.get(key=settings.STUDIO_DEFAULT_MODEL)
    if upstream:
        model = LanguageModel.objects.create(
            key="upstream", name="Upstream", kind=LanguageModel.Kind.REMOTE, url=upstream, url_model=MODEL
        )
    found, owners = [], []
    for number in range(people):
        user = User(email=f"person-{number}@example.com", name=f"Person {number}")
        user.set_unusable_password()
        user.save()
        if number < teams:
            team = Team.found(f"Team {number}", user)
            owners.append(team)
        else:
            team = owners[number % teams]
            Membership.objects.create(team=team, user=user, role=Role.EDITOR)
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        chat = Chat.objects.create(team=team, author=user, model=model, params=params or {})
        found.append({"team": team.slug, "session": session.session_key, "chat": str(chat.pk)})
    return found


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmstudio.settings")
    print(json.dumps(make(**json.loads(sys.argv[1]))))
