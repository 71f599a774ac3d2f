"""The short way for repeated fetches: same bytes, less work, and never later than the next request.

Through the real ASGI application with committed data; a sentinel in Django's place shows which way an answer took.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.utils import timezone

from workspace.api.door import PromptDoor
from workspace.models import ApiKey, Membership, Prompt, PromptLabel, Role, Team, User

PATH = "/api/public/v2/prompts/tone"


class Counted:
    """Django, and how often it was asked."""

    def __init__(self) -> None:
        self.django, self.asked = ASGIHandler(), 0

    async def __call__(self, *args: Any) -> None:
        self.asked += 1
        await self.django(*args)


@pytest.fixture
def django() -> Counted:
    return Counted()


@pytest.fixture
async def door(django: Counted) -> AsyncIterator[PromptDoor]:
    door = PromptDoor(django)
    yield door
    if door.pool:
        await door.pool.close()


@pytest.fixture
def prompt(transactional_db: None, team: Team, alice: User) -> Prompt:
    prompt = Prompt.start(
        team=team, author=alice, name="tone", kind="text", messages=[{"role": "user", "content": "kind"}]
    )
    PromptLabel.move(prompt.find(version=1), "production", by=team.memberships.get(user=alice))
    return prompt


@pytest.fixture
def fetch(door: PromptDoor, keys: dict[str, str]) -> Callable[..., Any]:
    async def send(
        who: str = "dana", path: str = PATH, query: str = "", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        named = {"authorization": f"Bearer {keys[who]}", "host": "127.0.0.1"} | headers
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "server": ("127.0.0.1", 80),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()],
        }  # fmt: skip
        talk = ApplicationCommunicator(door, scope)
        await talk.send_input({"type": "http.request", "body": b""})
        start, body = await talk.receive_output(20), await talk.receive_output(20)
        await talk.wait(20)
        return (
            start["status"],
            {name.decode().lower(): value.decode() for name, value in start["headers"]},
            body["body"],
        )

    return send


def later(act: Callable[..., Any], *args: Any, **named: Any) -> Any:
    return sync_to_async(act)(*args, **named)


async def test_the_second_time_django_is_not_asked(fetch: Any, django: Counted, prompt: Prompt) -> None:
    first, again = await fetch(), await fetch()
    assert django.asked == 1
    assert (first[0], first[2]) == (again[0], again[2])
    different = {name for name in first[1] if first[1][name] != again[1][name]}
    assert (different, set(first[1])) == ({"x-request-id"}, set(again[1]))
    assert again[1]["x-content-type-options"] == "nosniff"


async def test_who_has_it_already_hears_only_that(fetch: Any, django: Counted, prompt: Prompt) -> None:
    etag = (await fetch())[1]["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        status, headers, body = await fetch(if_none_match=known)
        assert (status, headers["etag"], body) == (304, etag, b""), known
        assert "content-length" not in headers
    assert (await fetch(if_none_match='"other"'))[0] == 200
    assert django.asked == 1


async def test_the_first_question_may_be_a_conditional_one(fetch: Any, django: Counted, prompt: Prompt) -> None:
    etag = (await fetch("alice"))[1]["etag"]
    assert (await fetch(if_none_match=etag))[0] == 304
    assert (await fetch())[0] == 200
    assert django.asked == 2  # once for each key


async def save(prompt: Prompt, by: User, text: str, *labels: str) -> None:
    def work() -> None:
        version = prompt.save_version(by, based_on=None, messages=[{"role": "user", "content": text}])
        for label in labels:
            PromptLabel.move(version, label, by=Membership.objects.get(team=prompt.team, user=by))

    await later(work)


async def test_a_moved_label_counts_at_once(fetch: Any, prompt: Prompt, alice: User) -> None:
    assert b"kind" in (await fetch())[2]
    await save(prompt, alice, "cold", "production")
    assert b"cold" in (await fetch())[2]


async def test_so_does_a_new_version_behind_latest(fetch: Any, prompt: Prompt, alice: User) -> None:
    assert b'"version":1' in (await fetch(query="label=latest"))[2]
    await save(prompt, alice, "cold")
    assert b'"version":2' in (await fetch(query="label=latest"))[2]


async def test_so_do_tags_however_they_were_written(fetch: Any, prompt: Prompt) -> None:
    await fetch()
    await Prompt.objects.filter(pk=prompt.pk).aupdate(tags=["new"])
    assert b'"tags":["new"]' in (await fetch())[2]


async def test_so_does_a_change_of_an_included_prompt(fetch: Any, prompt: Prompt, team: Team, alice: User) -> None:
    await later(
        Prompt.start, team=team, author=alice, name="outer", kind="text",
        messages=[{"role": "user", "content": "Be {{> tone}}."}],
    )  # fmt: skip
    outer = {"path": "/api/prompts/outer", "query": "label=latest"}
    assert b"Be kind." in (await fetch(**outer))[2]
    await save(prompt, alice, "cold", "production")
    assert b"Be cold." in (await fetch(**outer))[2]
    await later(prompt.archive, alice)
    assert (await fetch(**outer))[0] == 409


async def test_so_does_archiving(fetch: Any, prompt: Prompt, alice: User) -> None:
    await fetch()
    await later(prompt.archive, alice)
    assert (await fetch())[0] == 404
    await later(prompt.archive, alice, undo=True)
    assert (await fetch())[0] == 200


@pytest.mark.parametrize("how", ["revoked", "expired", "left", "inactive"])
async def test_so_does_the_end_of_a_key(fetch: Any, prompt: Prompt, dana: User, how: str) -> None:
    assert [(await fetch())[0] for _ in range(2)] == [200, 200]
    if how == "revoked":
        await ApiKey.objects.filter(user=dana).aupdate(revoked_at=timezone.now())
    elif how == "expired":
        await ApiKey.objects.filter(user=dana).aupdate(expires_at=timezone.now())
    elif how == "left":
        await Membership.objects.filter(user=dana).adelete()
    else:
        await User.objects.filter(pk=dana.pk).aupdate(is_active=False)
    status, _, body = await fetch()
    assert (status, b"UnauthorizedError" in body) == (401, True)


async def test_a_role_that_no_longer_suffices(fetch: Any, prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmstudio.policy import ROUTES

    assert [(await fetch())[0] for _ in range(2)] == [200, 200]
    monkeypatch.setitem(ROUTES["langfuse:prompt"], "GET", int(Role.EDITOR))
    assert (await fetch())[0] == 403


async def test_it_never_answers_across_teams(fetch: Any, prompt: Prompt) -> None:
    assert (await fetch("alice"))[0] == 200
    assert (await fetch("charlie"))[0] == 404
    assert (await fetch(authorization="Bearer sk-wrong"))[0] == 401
    assert (await fetch(authorization=""))[0] == 401


async def test_basic_and_bearer_are_one_key(fetch: Any, django: Counted, prompt: Prompt, keys: dict[str, str]) -> None:
    await fetch()
    basic = base64.b64encode(f"pk:{keys['dana']}".encode()).decode()
    assert (await fetch(authorization=f"Basic {basic}"))[0] == 200
    assert django.asked == 1


async def test_what_another_address_or_host_is_told_is_not_reused(fetch: Any, django: Counted, prompt: Prompt) -> None:
    assert (await fetch())[0] == 200
    assert (await fetch(host="evil.example"))[0] == 400
    assert (await fetch(query="version=7"))[0] == 404
    assert django.asked == 3


async def test_fetches_count_towards_their_limit(fetch: Any, prompt: Prompt, settings: Any) -> None:
    settings.STUDIO_PROMPT_RATE = 5
    found = [(await fetch())[0] for _ in range(20)]  # a new minute may begin among them, and is allowed five more
    assert set(found[:4]) == {200}
    assert found.count(429) >= 8
    assert (await fetch("bob"))[0] == 200


async def test_a_database_that_is_away_is_djangos_business(
    fetch: Any, door: PromptDoor, django: Counted, prompt: Prompt
) -> None:
    await fetch()
    await fetch()
    assert door.pool
    await door.pool.close()
    assert (await fetch())[0] == 200
    assert django.asked == 2


async def test_what_is_kept_is_bounded(
    fetch: Any, door: PromptDoor, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workspace.api.door.KEPT_BYTES", 12_000)
    for number in range(20):
        assert (await fetch(query=f"n={number}"))[0] == 200
    assert 0 < len(door.answers) < 6
    assert door.bytes == sum(answer.size for answer in door.answers.values()) <= 12_000


async def test_a_name_that_a_prompt_had_is_asked_for_anew_each_time(
    fetch: Any, django: Counted, prompt: Prompt, team: Team, alice: User
) -> None:
    by = await sync_to_async(team.memberships.get)(user=alice)
    await sync_to_async(prompt.describe)(alice, name="voice", description="", tags=[], keep_name=True)
    assert [(await fetch())[0], (await fetch())[0], django.asked] == [200, 200, 2]

    def another() -> None:
        made = Prompt.start(
            team=team, author=alice, name="tone", kind="text", messages=[{"role": "user", "content": "stern"}]
        )
        PromptLabel.move(made.find(version=1), "production", by=by)

    await sync_to_async(another)()
    assert b"stern" in (await fetch())[2]


async def test_a_program_that_has_gone_gets_nothing_and_breaks_nothing() -> None:
    async def silent(*args: Any) -> None:
        return None

    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": "GET", "path": PATH, "query_string": b"", "headers": []}
    await PromptDoor(silent)(scope, None, send)
    assert said == []
