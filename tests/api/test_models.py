"""/v1/models: a team sees the shared bases and its own adapters, by the ids it may use elsewhere."""

from __future__ import annotations

from typing import Any

from jobs.models import Adapter, LanguageModel


def ids(answer: Any) -> set[str]:
    return {model["id"] for model in answer.json()["data"]}


def test_a_team_sees_its_bases_and_its_adapters(call: Any, base: LanguageModel, adapter: Adapter) -> None:
    answer = call("dana", "get", "/v1/models")
    assert answer.json()["object"] == "list"
    assert ids(answer) == {"tiny", f"ft:tiny:{adapter.team.slug}:french:{adapter.pk.hex[:8]}"}
    shown = next(model for model in answer.json()["data"] if model["id"].startswith("ft:"))
    assert shown["object"] == "model"
    assert shown["parent"] == "tiny"
    assert shown["owned_by"] == adapter.team.slug
    assert isinstance(shown["created"], int)


def test_another_teams_adapter_does_not_exist(call: Any, adapter: Adapter) -> None:
    assert ids(call("charlie", "get", "/v1/models")) == {"tiny"}
    for method in ("get", "delete"):
        answer = call("charlie", method, f"/v1/models/{adapter.key}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found"


def test_a_base_that_another_team_added_does_not_exist(call: Any, base: LanguageModel, other_team: Any) -> None:
    LanguageModel.objects.filter(pk=base.pk).update(team=other_team)
    assert ids(call("alice", "get", "/v1/models")) == set()
    assert call("alice", "get", "/v1/models/tiny").status_code == 404


def test_one_model_by_its_id(call: Any, adapter: Adapter) -> None:
    assert call("dana", "get", "/v1/models/tiny").json()["id"] == "tiny"
    assert call("dana", "get", f"/v1/models/{adapter.key}").json()["id"] == adapter.key
    assert call("dana", "get", f"/v1/models/{adapter.key[:-1]}").status_code == 404
    assert call("dana", "get", f"/v1/models/ft:other:{adapter.key.partition(':')[2]}").status_code == 404


def test_deleting_an_adapter_takes_it_out_of_use(call: Any, adapter: Adapter) -> None:
    assert call("dana", "delete", f"/v1/models/{adapter.key}").status_code == 403
    answer = call("bob", "delete", f"/v1/models/{adapter.key}")
    assert answer.json() == {"id": adapter.key, "object": "model", "deleted": True}
    assert ids(call("bob", "get", "/v1/models")) == {"tiny"}
    adapter.refresh_from_db()
    assert adapter.archived_at


def test_a_base_cannot_be_deleted_here(call: Any, base: LanguageModel) -> None:
    answer = call("alice", "delete", "/v1/models/tiny")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model"
