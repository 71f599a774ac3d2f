"""What other machines ask a web process: alive, ready, and the figures."""

from __future__ import annotations

import pytest
from django.conf import LazySettings
from django.db.models.functions import Now
from django.test import Client

from jobs.models import Generation, LanguageModel, Worker
from workspace.models import Team, User

pytestmark = pytest.mark.django_db


def seen(kind: str) -> None:
    Worker.objects.create(name=f"{kind}@host:1", kind=kind, host="host", pid=1, seen_at=Now())


def test_alive_needs_nothing(client: Client) -> None:
    assert client.get("/healthz").content == b"ok\n"


def test_ready_names_what_is_missing(client: Client) -> None:
    seen("infer")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": True, "redis": True, "infer": True, "train": False, "default": False}
    seen("train")
    seen("default")
    assert client.get("/readyz").status_code == 200


def test_a_worker_that_fell_silent_is_missing(client: Client) -> None:
    for kind in ("infer", "train", "default"):
        seen(kind)
    Worker.objects.filter(kind="train").update(seen_at=Now() - 2 * Worker.SILENCE)
    answer = client.get("/readyz")
    assert answer.status_code == 503 and not answer.json()["checks"]["train"]


def test_metrics_count_waiting_jobs_and_workers(client: Client, team: Team, alice: User) -> None:
    seen("infer")
    model = LanguageModel.objects.create(key="base", name="Base")
    Generation.objects.create(team=team, author=alice, purpose="chat", model=model, messages=[])
    text = client.get("/metrics").content.decode()
    assert 'studio_jobs{kind="generation",state="queued"} 1.0' in text
    assert 'studio_workers{kind="infer"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_metrics_are_not_for_everybody(client: Client, settings: LazySettings) -> None:
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7").status_code == 403
    assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 403
    settings.METRICS_TOKEN = "a long token"
    away = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.get("/metrics", headers={"Authorization": "Bearer a wrong token"}, **away).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer a long token"}, **away).status_code == 200
