"""Programs of the cast: call("bob", "get", "/v1/models") asks with bob's key. And a model for them that is a parrot."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client

from jobs.models import Adapter, LanguageModel, StoredFile, Worker
from jobs.runners import infer
from tests.api.parrot import Parrot


@pytest.fixture
def keys(
    team: Any, other_team: Any, alice: Any, bob: Any, dana: Any, charlie: Any, issue_key: Callable[..., str]
) -> dict[str, str]:
    teams = {"alice": team, "bob": team, "dana": team, "charlie": other_team}
    people = {"alice": alice, "bob": bob, "dana": dana, "charlie": charlie}
    return {name: issue_key(teams[name], people[name]) for name in people}


@pytest.fixture
def base(db: None) -> LanguageModel:
    return LanguageModel.objects.create(
        key="tiny", name="Tiny", folder="tiny", parameters=135_000_000, context_length=2048, template_hash="t" * 64
    )


@pytest.fixture
def adapter(team: Any, base: LanguageModel) -> Adapter:
    return Adapter.objects.create(
        team=team,
        base=base,
        name="French",
        suffix="french",
        folder="x",
        sha256="0" * 64,
        template_hash="t" * 64,
        rank=16,
    )


@pytest.fixture
def parrot(
    transactional_db: None, base: LanguageModel, tmp_path: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Parrot]:
    """The real infer runner in a thread, over the parrot."""
    settings.STUDIO_MODELS = tmp_path
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "studio.json").write_text("{}")
    parrot = Parrot()
    monkeypatch.setattr("jobs.runners.engines.choose", lambda path: "parrot")
    monkeypatch.setattr("jobs.runners.engines.open_engine", lambda *args, **kwargs: parrot)
    Worker.objects.create(name="infer@test", kind="infer", host="test", pid=1)
    runner = infer.InferRunner("infer@test")
    over = threading.Event()

    def loop() -> None:
        while not over.wait(0.02):
            runner.look()
        connections.close_all()

    thread = threading.Thread(target=loop)
    thread.start()
    yield parrot
    parrot.slow = False
    parrot.go.release(100)
    over.set()
    thread.join()
    runner.stop()


@pytest.fixture
def call(keys: dict[str, str]) -> Callable[..., Any]:
    """A request with that person's key; a dict is sent as JSON, or as a form."""

    def send(who: str, method: str, path: str, data: Any = None, **extra: Any) -> Any:
        client = Client(headers={"Authorization": f"Bearer {keys[who]}"})
        if isinstance(data, dict) and not extra.pop("multipart", False):
            data, extra["content_type"] = json.dumps(data), "application/json"
        return getattr(client, method)(path, data, **extra)

    return send


@pytest.fixture
def upload(call: Callable[..., Any]) -> Callable[..., StoredFile]:
    """A file uploaded as that person's program would."""

    def store(content: bytes | str, who: str = "alice", name: str = "rows.jsonl") -> StoredFile:
        raw = content.encode() if isinstance(content, str) else content
        answer = call(
            who, "post", "/v1/files", {"file": SimpleUploadedFile(name, raw), "purpose": "fine-tune"}, multipart=True
        )
        assert answer.status_code == 200, answer.content
        return StoredFile.objects.get(pk=answer.json()["id"].removeprefix("file-"))

    return store


def error_of(answer: Any) -> dict[str, Any]:
    """Every refusal has OpenAI's shape and a request id to quote."""
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["x-request-id"].startswith("req_")
    body = json.loads(answer.content)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    return body["error"]
