"""What nobody would type comes to every door of a team, in every field that any form or view knows: no door breaks on it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.security.doors import TEAM
from tests.security.test_policy import undone
from workspace.models import Team

ROOT = Path(__file__).parents[2]
READ = re.compile(r'(?:POST|GET|post|asked|data|fields|query)(?:\.get|\.getlist)?[(\[]"([\w:-]+)"')
MORE = ("type:a", "default:a", "choices:a", "help:a", "v-a", "input-new-1", "output-new-1", "value-new-1-a\x00b")
STRANGE = {"a NUL": "a\x00b", "a digit that is no number": "²", "a number without end": "9" * 4400, "empty fields": ","}


def names() -> set[str]:
    found = set(MORE)
    for file in (*ROOT.glob("workspace/**/*.py"), *ROOT.glob("jobs/views/*.py"), *ROOT.glob("jobs/forms/*.py")):
        found |= set(READ.findall(file.read_text()))
    for file in ROOT.glob("templates/**/*.html"):
        found |= set(re.findall(r'name="([\w:-]+)"', file.read_text()))
    for form in ("column", "rows", "collect", "table"):  # their prefixes
        found |= {
            f"{form}-{name}" for name in ("name", "table", "answers", "source", "count", "seed", "dataset", "stop")
        }
    return found - {"csrfmiddlewaretoken"}


@pytest.mark.parametrize("kind", STRANGE)
def test_no_page_breaks(kind: str, as_charlie: Client, other_team: Team, foreign: dict[str, Any]) -> None:
    sent = dict.fromkeys(names(), STRANGE[kind])
    broken = []
    for door in TEAM:
        for method in {"GET", "POST"} & set(door.rules):
            ask = as_charlie.get if method == "GET" else as_charlie.post
            with undone():
                try:
                    status: Any = ask(door.path(team=other_team.slug, **foreign), sent).status_code
                except Exception as error:
                    status = repr(error)[:200]
            if not isinstance(status, int) or status >= 500:
                broken.append(f"{method} {door}: {status}")
    assert broken == []
