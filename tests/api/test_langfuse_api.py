"""/api/public, Langfuse's own paths: what its clients may rely on, asked without them. The client itself is next door."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from workspace.models import Membership, Prompt, PromptLabel, ProtectedLabel, Role, Team, User

PROMPTS = "/api/public/v2/prompts"


@pytest.fixture
def ask(keys: dict[str, str]) -> Callable[..., Any]:
    """A request as Langfuse's clients send it: Basic, any public key, ours as the secret one."""

    def send(who: str, method: str, path: str, data: Any = None, **headers: str) -> Any:
        basic = base64.b64encode(f"pk-anything:{keys[who]}".encode()).decode()
        client = Client(headers={"Authorization": f"Basic {basic}", **headers})
        extra = {} if data is None else {"data": data, "content_type": "application/json"}
        return getattr(client, method)(path, **extra)

    return send


def create(ask: Callable[..., Any], who: str = "bob", **fields: Any) -> dict[str, Any]:
    answer = ask(who, "post", PROMPTS, {"name": "greet", "prompt": "Hello {{name}}", **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()


def refused(answer: Any) -> tuple[int, str, str]:
    body = answer.json()
    assert set(body) == {"message", "error"}
    return answer.status_code, body["error"], body["message"]


class TestWhichVersion:
    """Langfuse's rules, word for word."""

    @pytest.fixture(autouse=True)
    def three_versions(self, ask: Callable[..., Any]) -> None:
        create(ask, prompt="one", labels=["production"])
        create(ask, prompt="two", labels=["staging"])
        create(ask, prompt="three")

    @pytest.mark.parametrize(
        ("query", "number"),
        [
            ("", 1),
            ("?label=", 1),
            ("?version=0", 1),
            ("?label=production", 1),
            ("?label=staging", 2),
            ("?label=latest", 3),
            ("?version=2", 2),
        ],
    )
    def test_found(self, ask: Callable[..., Any], query: str, number: int) -> None:
        found = ask("dana", "get", f"{PROMPTS}/greet{query}").json()
        assert (found["version"], found["prompt"]) == (number, ["one", "two", "three"][number - 1])

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("greet?label=nothing", "Prompt not found: 'greet' with label 'nothing'"),
            ("greet?version=4", "Prompt not found: 'greet' with version 4"),
            ("greet?version=-1", "Prompt not found: 'greet' with version -1"),
            ("other", "Prompt not found: 'other' with label 'production'"),
            ("other?label=%00", "Prompt not found"),
            ("a%00b", "Prompt not found"),
        ],
    )
    def test_not_there(self, ask: Callable[..., Any], path: str, message: str) -> None:
        status, error, said = refused(ask("dana", "get", f"{PROMPTS}/{path}"))
        if "label=%00" in path:
            assert status == 400  # that is no text at all
            return
        assert (status, error) == (404, "LangfuseNotFoundError")
        assert said.startswith(message)

    @pytest.mark.parametrize("query", ["?version=1&label=production", "?version=one", "?version=99999999999999"])
    def test_nonsense(self, ask: Callable[..., Any], query: str) -> None:
        assert refused(ask("dana", "get", f"{PROMPTS}/greet{query}"))[:2] == (400, "InvalidRequestError")

    def test_another_team_has_no_such_prompt(self, ask: Callable[..., Any]) -> None:
        assert refused(ask("charlie", "get", f"{PROMPTS}/greet"))[0] == 404

    def test_an_archived_prompt_is_gone(self, ask: Callable[..., Any], alice: User) -> None:
        Prompt.objects.get().archive(alice)
        assert refused(ask("dana", "get", f"{PROMPTS}/greet"))[0] == 404


def test_the_whole_shape_of_a_text_prompt(ask: Callable[..., Any], team: Team, bob: User) -> None:
    create(
        ask, name="folder/sub/greet", labels=["production"], tags=["b", "a"], config={"temperature": 0.2},
        commitMessage="First",
    )  # fmt: skip
    answer = ask("dana", "get", f"{PROMPTS}/folder%2Fsub%2Fgreet")
    found = answer.json()
    prompt = Prompt.objects.get()
    assert found.pop("createdAt") and found.pop("updatedAt")
    assert found == {
        "id": str(prompt.versions.get().pk),
        "projectId": str(team.pk),
        "createdBy": str(bob.pk),
        "name": "folder/sub/greet",
        "prompt": "Hello {{name}}",
        "version": 1,
        "type": "text",
        "isActive": True,
        "config": {"temperature": 0.2},
        "tags": ["b", "a"],
        "labels": ["production", "latest"],
        "commitMessage": "First",
        "resolutionGraph": None,
    }


def test_a_chat_prompt_keeps_its_placeholder(ask: Callable[..., Any]) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": "{{question}}"},
    ]
    made = create(ask, type="chat", prompt=[{**messages[0], "type": "chatmessage"}, *messages[1:]])
    assert (made["type"], made["prompt"], made["labels"], made["config"]) == ("chat", messages, ["latest"], {})


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"type": "chat", "prompt": "text"}, 400),
        ({"type": "text", "prompt": [{"role": "user", "content": "x"}]}, 400),
        ({"type": "chat", "prompt": [{"role": "user", "message": "x"}]}, 400),
        ({"type": "chat", "prompt": [{"role": "pirate", "content": "x"}]}, 400),
        ({"type": "chat", "prompt": []}, 400),
        ({"prompt": " "}, 400),
        ({"name": "/x"}, 400),
        ({"name": "x//y"}, 400),
        ({"name": "a|b"}, 400),
        ({"name": "n" * 256}, 400),
        ({"labels": ["Not Good"]}, 400),
        ({"labels": ["l"] * 21}, 400),
        ({"config": [1]}, 400),
        ({"extra": 1}, 400),
        ({"prompt": "nul \0"}, 400),
        ({"commitMessage": "m" * 501}, 400),
        (
            {"type": "chat", "prompt": [{"type": "placeholder", "name": "a"}, {"role": "user", "content": "{{a}}"}]},
            400,
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_stored(
    ask: Callable[..., Any], fields: dict[str, Any], status: int
) -> None:
    answer = ask("bob", "post", PROMPTS, {"name": "greet", "prompt": "Hi", **fields})
    assert refused(answer)[:2] == (status, "InvalidRequestError")
    assert not Prompt.objects.exists()


def test_a_type_never_changes(ask: Callable[..., Any]) -> None:
    create(ask)
    chat = {"name": "greet", "type": "chat", "prompt": [{"role": "user", "content": "x"}]}
    status, _, message = refused(ask("bob", "post", PROMPTS, chat))
    assert (status, message) == (
        400,
        "Previous versions have different prompt type. Create a new prompt with a different name.",
    )


def test_a_label_moves_and_tags_are_the_prompts(ask: Callable[..., Any]) -> None:
    create(ask, labels=["production"], tags=["old"])
    assert create(ask, labels=["production", "latest"])["tags"] == ["old"]
    create(ask, tags=["new"])
    assert ask("dana", "get", f"{PROMPTS}/greet?version=1").json()["labels"] == []
    assert ask("dana", "get", f"{PROMPTS}/greet").json()["version"] == 2
    assert ask("dana", "get", f"{PROMPTS}/greet?version=1").json()["tags"] == ["new"]


def test_labels_are_put_on_and_those_before_stay(ask: Callable[..., Any]) -> None:
    create(ask, labels=["staging"])
    create(ask, labels=["production"])
    answer = ask("bob", "patch", f"{PROMPTS}/greet/versions/1", {"newLabels": ["production"]})
    assert (answer.status_code, answer.json()["labels"]) == (200, ["production", "staging"])
    assert ask("dana", "get", f"{PROMPTS}/greet?version=2").json()["labels"] == ["latest"]


def test_labels_that_cannot_be_moved(ask: Callable[..., Any], team: Team) -> None:
    create(ask)
    status, _, message = refused(ask("bob", "patch", f"{PROMPTS}/greet/versions/1", {"newLabels": ["latest"]}))
    assert (status, message) == (400, "Label 'latest' is always assigned to the latest prompt version")
    assert refused(ask("bob", "patch", f"{PROMPTS}/greet/versions/7", {"newLabels": ["x"]}))[0] == 404
    assert refused(ask("charlie", "patch", f"{PROMPTS}/greet/versions/1", {"newLabels": ["x"]}))[0] == 404
    ProtectedLabel.objects.create(team=team, name="production", role=Role.ADMIN)
    assert refused(ask("bob", "patch", f"{PROMPTS}/greet/versions/1", {"newLabels": ["production"]}))[:2] == (
        403, "ForbiddenError",
    )  # fmt: skip
    assert ask("alice", "patch", f"{PROMPTS}/greet/versions/1", {"newLabels": ["production"]}).status_code == 200


def test_a_version_whose_label_is_protected_is_not_stored(ask: Callable[..., Any], team: Team) -> None:
    ProtectedLabel.objects.create(team=team, name="production", role=Role.ADMIN)
    body = {"name": "greet", "prompt": "Hi", "labels": ["production"]}
    assert refused(ask("bob", "post", PROMPTS, body))[0] == 403
    assert not Prompt.objects.exists()


class TestOneInsideAnother:
    TAGGED = "Be @@@langfusePrompt:name=parts/tone|label=production@@@ to {{name}}."

    @pytest.fixture(autouse=True)
    def part(self, ask: Callable[..., Any]) -> None:
        create(ask, name="parts/tone", prompt="kind", labels=["production"])

    def test_langfuses_tags_become_includes_and_are_resolved(self, ask: Callable[..., Any]) -> None:
        create(ask, prompt=self.TAGGED, labels=["production"])
        assert Prompt.objects.get(name="greet").versions.get().text == "Be {{> parts/tone}} to {{name}}."
        found = ask("dana", "get", f"{PROMPTS}/greet").json()
        assert found["prompt"] == "Be kind to {{name}}."
        [[part]] = found["resolutionGraph"]["dependencies"].values()
        assert (part["name"], part["version"]) == ("parts/tone", 1)

    def test_unresolved_they_are_what_was_sent(self, ask: Callable[..., Any]) -> None:
        create(ask, prompt=self.TAGGED, labels=["production"])
        found = ask("dana", "get", f"{PROMPTS}/greet?resolve=false").json()
        assert (found["prompt"], found["resolutionGraph"]) == (self.TAGGED, None)

    def test_one_that_went_away_is_told(self, ask: Callable[..., Any], alice: User) -> None:
        create(ask, prompt=self.TAGGED, labels=["production"])
        Prompt.objects.get(name="parts/tone").archive(alice)
        status, error, message = refused(ask("dana", "get", f"{PROMPTS}/greet"))
        assert (status, error) == (409, "LangfuseConflictError")
        assert "parts/tone" in message
        assert ask("dana", "get", f"{PROMPTS}/greet?resolve=false").status_code == 200

    def test_one_that_never_was_cannot_be_saved(self, ask: Callable[..., Any]) -> None:
        body = {"name": "x", "prompt": "@@@langfusePrompt:name=nobody|version=3@@@"}
        assert refused(ask("bob", "post", PROMPTS, body))[0] == 400


class TestTheList:
    def test_pages_and_filters(self, ask: Callable[..., Any], django_assert_num_queries: Any) -> None:
        for name in ("c", "a", "b"):
            create(ask, name=name, tags=["x"] if name == "b" else [], labels=["production"], config={"v": 1})
        create(ask, name="a", config={"v": 2})
        first = ask("dana", "get", f"{PROMPTS}?limit=2").json()
        assert [entry["name"] for entry in first["data"]] == ["a", "b"]
        assert first["meta"] == {"page": 1, "limit": 2, "totalPages": 2, "totalItems": 3}
        assert first["data"][0] | {"lastUpdatedAt": ""} == {
            "name": "a", "type": "text", "versions": [1, 2], "labels": ["production", "latest"], "tags": [],
            "lastConfig": {"v": 2}, "lastUpdatedAt": "",
        }  # fmt: skip

        def names(query: str) -> list[str]:
            return [entry["name"] for entry in ask("dana", "get", f"{PROMPTS}?{query}").json()["data"]]

        assert names("limit=2&page=2") == ["c"]
        assert names("name=b") == names("tag=x") == ["b"]
        assert names("label=production") == ["a", "b", "c"]
        assert names("label=nothing") == names("toUpdatedAt=2020-01-01T00:00:00Z") == []
        labelled = ask("dana", "get", f"{PROMPTS}?label=production&name=a").json()["data"][0]
        assert (labelled["versions"], labelled["labels"], labelled["lastConfig"]) == ([1], ["production"], {"v": 1})

    def test_it_is_the_teams_own(self, ask: Callable[..., Any]) -> None:
        create(ask)
        assert ask("charlie", "get", PROMPTS).json()["data"] == []

    def test_a_long_page_costs_no_more_queries(self, ask: Callable[..., Any], django_assert_num_queries: Any) -> None:
        create(ask, name="a", labels=["production"])
        ask("dana", "get", PROMPTS)  # the key's first use of the minute is noted down
        with django_assert_num_queries(7):
            ask("dana", "get", PROMPTS)
        for number in range(8):
            create(ask, name=f"p{number}", labels=["production"])
        with django_assert_num_queries(7):
            ask("dana", "get", PROMPTS)

    @pytest.mark.parametrize("query", ["limit=0", "limit=101", "page=0", "fromUpdatedAt=yesterday", "name=%00"])
    def test_nonsense(self, ask: Callable[..., Any], query: str) -> None:
        assert refused(ask("dana", "get", f"{PROMPTS}?{query}"))[0] == 400


def test_deleting_puts_the_prompt_away(ask: Callable[..., Any]) -> None:
    create(ask)
    assert refused(ask("bob", "delete", f"{PROMPTS}/greet?version=1"))[0] == 400
    assert refused(ask("dana", "delete", f"{PROMPTS}/greet"))[0] == 403
    assert ask("bob", "delete", f"{PROMPTS}/greet").status_code == 204
    assert refused(ask("bob", "delete", f"{PROMPTS}/greet"))[0] == 404
    assert Prompt.objects.get().archived_at


def test_the_etag_saves_the_body_until_something_changes(ask: Callable[..., Any], team: Team, alice: User) -> None:
    create(ask, labels=["production"])
    first = ask("dana", "get", f"{PROMPTS}/greet")
    again = ask("dana", "get", f"{PROMPTS}/greet", **{"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    owner = Membership.objects.get(team=team, user=alice)
    PromptLabel.move(Prompt.objects.get().find(version=1), "staging", by=owner)
    moved = ask("dana", "get", f"{PROMPTS}/greet", **{"If-None-Match": first["ETag"]})
    assert (moved.status_code, moved.json()["labels"]) == (200, ["production", "staging", "latest"])


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Basic cGs6c2stbm8=", "Bearer sk-no"])
def test_without_a_valid_key_nobody_gets_in(db: None, header: str) -> None:
    answer = Client(headers={"Authorization": header}).get(f"{PROMPTS}/greet")
    assert refused(answer)[:2] == (401, "UnauthorizedError")


def test_fetching_has_a_limit_of_its_own(ask: Callable[..., Any], settings: Any) -> None:
    create(ask, labels=["production"])
    settings.STUDIO_API_RATE, settings.STUDIO_PROMPT_RATE = 1, 5
    answers = [ask("dana", "get", f"{PROMPTS}/greet") for _ in range(12)]  # a new minute may begin among them
    assert [answer.status_code for answer in answers[:5]] == [200] * 5
    late = next(answer for answer in answers if answer.status_code == 429)
    assert 0 < int(late["Retry-After"]) <= 60
    assert ask("dana", "get", PROMPTS).status_code == 200  # the rest is counted apart


@pytest.mark.parametrize("path", ["ingestion", "otel/v1/traces", "v2/nothing", "health"])
def test_what_is_not_prompts_is_a_404_that_clients_survive(ask: Callable[..., Any], path: str) -> None:
    assert refused(ask("bob", "post", f"/api/public/{path}", {}))[:2] == (404, "LangfuseNotFoundError")


def test_deleting_takes_every_role_that_its_labels_take(ask: Callable[..., Any], team: Team) -> None:
    create(ask, labels=["production"])
    ProtectedLabel.objects.create(team=team, name="production", role=Role.ADMIN)
    status, _, message = refused(ask("bob", "delete", f"{PROMPTS}/greet"))
    assert (status, message) == (403, "greet carries the label production, which takes a higher role than yours here.")
    assert ask("alice", "delete", f"{PROMPTS}/greet").status_code == 204
