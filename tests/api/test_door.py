"""Who gets in at /v1, and in what words everybody else is turned away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.api.conftest import error_of
from workspace.models import ApiKey, Team, User


@pytest.mark.parametrize("header", [None, "Bearer sk-made-up", "Bearer", "Basic YTpi", "Bearer \u2603"])
def test_without_a_valid_key_nobody_gets_in(db: None, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    answer = Client(headers=headers).get("/v1/models")
    assert answer.status_code == 401
    assert error_of(answer)["code"] == "invalid_api_key"


def test_a_session_is_not_a_key(as_alice: Client) -> None:
    assert as_alice.get("/v1/models").status_code == 401


@pytest.mark.parametrize(
    "change",
    [{"revoked_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(seconds=1)}],
    ids=["revoked", "expired"],
)
def test_a_dead_key_stays_outside(alice: User, call: Any, change: dict[str, Any]) -> None:
    ApiKey.objects.filter(user=alice).update(**change)
    assert call("alice", "get", "/v1/models").status_code == 401


def test_a_key_ends_with_its_persons_membership(team: Team, bob: User, call: Any) -> None:
    team.memberships.filter(user=bob).delete()
    assert call("bob", "get", "/v1/models").status_code == 401


def test_a_viewer_reads_but_does_not_act(call: Any, base: Any) -> None:
    assert call("dana", "get", "/v1/models").status_code == 200
    answer = call(
        "dana", "post", "/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}
    )
    assert answer.status_code == 403
    assert "editor" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/v1/", 404),
        ("get", "/v1/assistants", 404),
        ("get", "/v1/models/", 404),
        ("get", "/v1/models/nothing", 404),
        ("get", "/v1/models/a/b:c", 404),
        ("get", "/v1/models/%00", 404),
        ("get", "/v1/models/ft:%00", 404),
        ("get", "/v1/files/file-nothing", 404),
        ("get", "/v1/files/%00/content", 404),
        ("get", "/v1/fine_tuning/jobs/ftjob-00000000000000000000000000000000", 404),
        ("post", "/v1/models", 405),
        ("put", "/v1/files", 405),
        ("get", "/v1/chat/completions", 405),
        ("get", "/v1/files?limit=0", 400),
        ("get", "/v1/files?after=file-x", 404),
        ("get", "/v1/files?purpose=%00", 400),
        ("get", "/v1/fine_tuning/jobs?limit=many", 400),
    ],
)
def test_every_refusal_is_in_openais_words(call: Any, method: str, path: str, status: int) -> None:
    answer = call("alice", method, path)
    assert answer.status_code == status
    error_of(answer)


def test_a_body_that_is_not_json_is_refused(call: Any) -> None:
    answer = call("alice", "post", "/v1/chat/completions", "{not json", content_type="application/json")
    assert answer.status_code == 400
    error_of(answer)


def test_a_body_that_is_too_large_is_refused(call: Any, settings: Any) -> None:
    body = " " * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    answer = call("alice", "post", "/v1/chat/completions", body, content_type="application/json")
    assert answer.status_code == 413
    error_of(answer)


def test_a_crash_is_told_in_openais_words_too(keys: dict[str, str], base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(base: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("jobs.openai.models.show_base", crash)
    client = Client(headers={"Authorization": f"Bearer {keys['alice']}"}, raise_request_exception=False)
    answer = client.get("/v1/models")
    assert answer.status_code == 500
    assert "secret" not in error_of(answer)["message"]


def test_a_key_that_asks_too_often_is_told_when_to_come_back(call: Any, settings: Any) -> None:
    settings.STUDIO_API_RATE = 3
    answers = [call("bob", "get", "/v1/models") for _ in range(8)]  # a new minute may begin among them, but only one
    assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert error_of(refused)["type"] == "rate_limit_error"
    assert call("alice", "get", "/v1/models").status_code == 200


def test_every_answer_carries_a_request_id(call: Any) -> None:
    assert call("alice", "get", "/v1/models").headers["x-request-id"].startswith("req_")
