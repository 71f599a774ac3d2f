"""/api: prompts and example sets for programs, in the studio's own words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.api.conftest import error_of
from workspace.models import ExampleSet, Prompt, ProtectedLabel, Role, Team, User

CHAT = [{"role": "system", "content": "You know {{language}}."}, {"role": "user", "content": "Translate {{word}}."}]


def create(call: Callable[..., Any], who: str = "bob", **fields: Any) -> dict[str, Any]:
    answer = call(who, "post", "/api/prompts", {"name": "words/translate", "messages": CHAT} | fields)
    assert answer.status_code == 201, answer.content
    return answer.json()


def save(call: Callable[..., Any], **fields: Any) -> Any:
    return call("bob", "post", "/api/prompts/words/translate/versions", {"messages": CHAT} | fields)


class TestWriting:
    def test_all_that_a_prompt_holds_comes_back(self, call: Any, team: Team, alice: User) -> None:
        examples = ExampleSet.start(team=team, author=alice, name="Words")
        schema = {"type": "object"}
        made = create(
            call, description="To French", tags=["fr", "fr"], config={"model": "tiny"}, schema=schema, note="First",
            labels=["production"],
            variables=[{"name": "language", "type": "choice", "choices": ["French", "Greek"], "default": "French"}],
            examples={"set": str(examples.pk), "how": "similar", "count": 2},
        )  # fmt: skip
        fetched = call("dana", "get", "/api/prompts/words/translate").json()
        assert fetched == made
        assert (made["name"], made["folder"], made["type"]) == ("words/translate", "words", "chat")
        assert (made["version"], made["labels"], made["tags"]) == (1, ["production", "latest"], ["fr"])
        assert (made["messages"], made["text"], made["note"]) == (CHAT, None, "First")
        assert [(one["name"], one["type"], one["required"]) for one in made["variables"]] == [
            ("language", "choice", True),
            ("word", "text", True),
        ]
        assert (made["config"], made["schema"]) == ({"model": "tiny"}, schema)
        assert made["examples"] | {"seed": 0, "budget": 0} == {
            "set": str(examples.pk), "version": 1, "how": "similar", "count": 2, "seed": 0, "budget": 0,
        }  # fmt: skip

    def test_a_text_prompt(self, call: Any) -> None:
        made = create(call, messages=None, text="Hello {{name}}")
        assert (made["type"], made["text"]) == ("text", "Hello {{name}}")
        answer = save(call)
        assert answer.status_code == 400
        assert "it takes text" in error_of(answer)["message"]

    @pytest.mark.parametrize(
        "strange", ['"a\\u0000b"', '"\\ud800"', '{"\\ud800": 1}', '{"\\u0000": 1}', "Infinity", "NaN", "1e999"]
    )
    @pytest.mark.parametrize("field", ["config", "schema"])
    def test_what_no_database_keeps_is_refused(self, field: str, strange: str, keys: dict[str, str]) -> None:
        body = json.dumps({"name": "a", "text": "Hi", field: {"title": "STRANGE"}}).replace('"STRANGE"', strange)
        for path, sent in (("/api/prompts", body), ("/api/public/v2/prompts", body.replace('"text"', '"prompt"'))):
            headers = {"Authorization": f"Bearer {keys['bob']}"}
            answer = Client(headers=headers).post(path, sent, content_type="application/json")
            assert answer.status_code == 400, answer.content

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"name": ""}, "name"),
            ({"name": "a//b"}, "name"),
            ({"name": "a{b"}, "name"),
            ({"messages": None}, "messages"),
            ({"text": "both"}, "messages"),
            ({"messages": [{"role": "pirate", "content": "x"}]}, "messages[0].role"),
            ({"messages": [{"role": "user", "content": "x", "tool": 1}]}, "messages[0].tool"),
            ({"messages": [{"role": "user", "content": "x" * 1_000_001}]}, None),
            ({"messages": [{"role": "user", "content": "\0"}]}, "messages[0].content"),
            ({"variables": [{"name": "word", "type": "colour"}]}, "variables[0].type"),
            ({"variables": [{"name": "word", "type": "number", "default": "many"}]}, "word"),
            ({"labels": ["latest"]}, "labels[0]"),
            ({"labels": ["Big Name"]}, "labels[0]"),
            ({"schema": {"type": "wrong"}}, "schema"),
            ({"examples": {"set": "nothing"}}, "set"),
            ({"colour": "red"}, "colour"),
            ({"messages": [{"role": "user", "content": "{{> nobody}}"}]}, "nobody"),
        ],
    )
    def test_what_cannot_be_kept_is_named(self, call: Any, fields: dict[str, Any], param: str | None) -> None:
        answer = call("bob", "post", "/api/prompts", {"name": "p", "messages": CHAT} | fields)
        assert answer.status_code in (400, 404), answer.content
        assert error_of(answer)["param"] == param
        assert not Prompt.objects.exists()

    def test_a_name_is_there_once(self, call: Any) -> None:
        create(call)
        answer = call("bob", "post", "/api/prompts", {"name": "words/translate", "messages": CHAT})
        assert (answer.status_code, error_of(answer)["code"]) == (409, "taken")

    def test_a_version_on_top_of_one_not_seen_is_refused(self, call: Any) -> None:
        create(call)
        assert save(call, based_on=1, note="mine").json()["version"] == 2
        answer = save(call, based_on=1, note="late")
        assert (answer.status_code, error_of(answer)["code"]) == (409, "stale")
        assert "Bob saved version 2 meanwhile" in error_of(answer)["message"]
        assert save(call).json()["version"] == 3  # who does not say what they saw means "whatever is newest"

    def test_another_teams_prompt_cannot_be_written(self, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("channels.db.close_old_connections", lambda: None)  # the test's transaction lives in it
        create(call)
        for method, path, body in (
            ("post", "versions", {"messages": CHAT}),
            ("put", "labels/production", {"version": 1}),
            ("delete", "labels/production", None),
            ("post", "run", {}),
        ):
            answer = call("charlie", method, f"/api/prompts/words/translate/{path}", body)
            assert answer.status_code == 404, path
            error_of(answer)

    def test_another_teams_examples_cannot_be_used(self, call: Any, charlie: User, other_team: Team) -> None:
        theirs = ExampleSet.start(team=other_team, author=charlie, name="Words")
        body = {"name": "p", "messages": CHAT, "examples": {"set": str(theirs.pk)}}
        assert call("bob", "post", "/api/prompts", body).status_code == 404


class TestFetching:
    def test_by_label_and_version(self, call: Any) -> None:
        create(call, labels=["production"])
        save(call, labels=["staging"])
        path = "/api/prompts/words/translate"
        found = {query: call("dana", "get", path + query).json()["version"] for query in (
            "", "?label=production", "?label=staging", "?label=latest", "?version=1",
        )}  # fmt: skip
        assert list(found.values()) == [1, 1, 2, 2, 1]
        for query, status in (("?label=x", 404), ("?version=9", 404), ("?version=1&label=latest", 400)):
            answer = call("dana", "get", path + query)
            assert answer.status_code == status
            error_of(answer)

    def test_includes_are_put_in_unless_one_wants_to_see_them(self, call: Any) -> None:
        create(call, name="tone", messages=None, text="kindly", labels=["production"])
        create(call, name="p", messages=None, text="Speak {{> tone}} to {{name}}.", labels=["production"])
        found = call("dana", "get", "/api/prompts/p").json()
        assert found["text"] == "Speak kindly to {{name}}."
        assert found["includes"] == [{"name": "tone", "version": 1, "asked_for": "tone"}]
        assert call("dana", "get", "/api/prompts/p?resolve=false").json()["text"] == "Speak {{> tone}} to {{name}}."

    def test_the_etag_holds_until_the_included_prompt_changes(self, call: Any, team: Team, alice: User) -> None:
        create(call, name="tone", messages=None, text="kindly", labels=["production"])
        create(call, name="p", messages=None, text="Speak {{> tone}}.", labels=["production"])
        etag = call("dana", "get", "/api/prompts/p")["ETag"]
        assert call("dana", "get", "/api/prompts/p", headers={"If-None-Match": etag}).status_code == 304
        call("bob", "post", "/api/prompts/tone/versions", {"text": "coldly", "labels": ["production"]})
        again = call("dana", "get", "/api/prompts/p", headers={"If-None-Match": etag})
        assert (again.status_code, again.json()["text"]) == (200, "Speak coldly.")

    def test_a_name_may_end_like_an_address(self, call: Any) -> None:
        for name in ("jobs/run", "old/versions", "a/labels/b"):
            create(call, name=name, labels=["production"])
            assert call("dana", "get", f"/api/prompts/{name}").json()["name"] == name

    def test_versions_newest_first_in_pages(self, call: Any) -> None:
        create(call, labels=["production"], note="one")
        save(call, note="two")
        save(call, note="three")
        first = call("dana", "get", "/api/prompts/words/translate/versions?limit=2").json()
        assert [(one["version"], one["note"], one["labels"]) for one in first["data"]] == [
            (3, "three", ["latest"]),
            (2, "two", []),
        ]
        rest = call("dana", "get", f"/api/prompts/words/translate/versions?limit=2&before={first['next']}").json()
        assert [(one["version"], one["author"], one["labels"]) for one in rest["data"]] == [(1, "Bob", ["production"])]
        assert rest["next"] is None


class TestListing:
    @pytest.fixture(autouse=True)
    def some(self, call: Any) -> None:
        create(call, name="a/one", tags=["x"], labels=["production"])
        create(call, name="a/b/two", tags=["x", "y"])
        create(call, name="three", messages=[{"role": "user", "content": "A lighthouse"}])

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("", ["a/b/two", "a/one", "three"]),
            ("folder=a", ["a/b/two", "a/one"]),
            ("folder=a/b", ["a/b/two"]),
            ("tag=x&tag=y", ["a/b/two"]),
            ("label=production", ["a/one"]),
            ("label=latest", ["a/b/two", "a/one", "three"]),
            ("search=lightho", ["three"]),
            ("after=a/one", ["three"]),
        ],
    )
    def test_filters(self, call: Any, query: str, names: list[str]) -> None:
        assert [one["name"] for one in call("dana", "get", f"/api/prompts?{query}").json()["data"]] == names

    def test_pages_go_on_where_the_last_one_ended(self, call: Any) -> None:
        first = call("dana", "get", "/api/prompts?limit=2").json()
        assert first["next"] == "a/one"
        assert first["data"][1]["labels"] == {"production": 1, "latest": 1}
        last = call("dana", "get", f"/api/prompts?limit=2&after={first['next']}").json()
        assert ([one["name"] for one in last["data"]], last["next"]) == (["three"], None)

    def test_a_long_page_costs_no_more_queries(self, call: Any, django_assert_num_queries: Any) -> None:
        call("dana", "get", "/api/prompts")
        with django_assert_num_queries(5):
            call("dana", "get", "/api/prompts?limit=1")
        with django_assert_num_queries(5):
            call("dana", "get", "/api/prompts")

    @pytest.mark.parametrize("query", ["limit=0", "limit=201", "search=%00", "folder=%00"])
    def test_nonsense(self, call: Any, query: str) -> None:
        assert call("dana", "get", f"/api/prompts?{query}").status_code == 400


class TestLabels:
    def test_one_moves_and_is_taken_off(self, call: Any) -> None:
        create(call, labels=["production"])
        save(call)
        moved = call("bob", "put", "/api/prompts/words/translate/labels/production", {"version": 2})
        assert moved.json()["labels"] == ["production", "latest"]
        assert call("bob", "delete", "/api/prompts/words/translate/labels/production").status_code == 204
        assert call("dana", "get", "/api/prompts/words/translate").status_code == 404

    @pytest.mark.parametrize("label", ["latest", "Not-Good", "production"])
    def test_those_that_may_not(self, call: Any, team: Team, label: str) -> None:
        create(call)
        ProtectedLabel.objects.create(team=team, name="production", role=Role.ADMIN)
        answer = call("bob", "put", f"/api/prompts/words/translate/labels/{label}", {"version": 1})
        assert (answer.status_code, error_of(answer)["code"]) == (403, "label_refused")

    def test_unreviewed_work_is_not_published(self, call: Any, team: Team) -> None:
        Team.objects.filter(pk=team.pk).update(reviews_prompts=True)
        body = {"name": "p", "messages": CHAT, "labels": ["production"]}
        answer = call("bob", "post", "/api/prompts", body)
        assert answer.status_code == 403
        assert "reviews prompts" in error_of(answer)["message"]
        assert not Prompt.objects.exists()


class TestExampleSets:
    def test_listed_and_fetched_as_they_were(self, call: Any, team: Team, alice: User, charlie: User) -> None:
        words = ExampleSet.start(team=team, author=alice, name="Words")
        words.add(alice, input="tree", output="arbre", values={"word": "tree"})
        words.add(alice, input="house", output="maison")
        listed = call("dana", "get", "/api/example-sets").json()
        assert [(one["name"], one["version"]) for one in listed["data"]] == [("Words", 3)]
        now = call("dana", "get", f"/api/example-sets/{words.pk}").json()
        assert [(one["input"], one["output"]) for one in now["examples"]] == [("tree", "arbre"), ("house", "maison")]
        before = call("dana", "get", f"/api/example-sets/{words.pk}?version=2").json()
        assert [one["values"] for one in before["examples"]] == [{"word": "tree"}]
        for path in (f"{words.pk}?version=9", "nothing", "%00"):
            assert call("dana", "get", f"/api/example-sets/{path}").status_code == 404
        assert call("charlie", "get", f"/api/example-sets/{words.pk}").status_code == 404
        assert call("charlie", "get", "/api/example-sets").json()["data"] == []


def test_the_description_for_generators_is_open_and_whole(as_nobody: Client) -> None:
    described = as_nobody.get("/api/openapi.json").json()
    assert described["openapi"].startswith("3.")
    assert {"/api/prompts", "/api/prompts/{name}", "/api/prompts/{name}/run", "/api/example-sets/{set_id}"} <= set(
        described["paths"]
    )
    assert set(described["paths"]["/api/prompts/{name}/run"]) == {"post"}


def test_a_renamed_prompt_is_found_under_the_name_it_had(call: Any, team: Team, bob: User) -> None:
    create(call, labels=["production"])
    long = "x" * 200
    prompt = Prompt.objects.get()
    prompt.describe(bob, name=long, description="", tags=[], keep_name=True)
    prompt.describe(bob, name="voice", description="", tags=[], keep_name=True)
    for name in ("words/translate", long):
        for path in ("/api/prompts/", "/api/public/v2/prompts/"):
            answer = call("dana", "get", f"{path}{name}")
            assert (answer.status_code, answer.json()["name"]) == (200, "voice")
    assert save(call).json()["version"] == 2
    assert call("bob", "put", "/api/prompts/words/translate/labels/staging", {"version": 2}).status_code == 200
    assert call("charlie", "get", "/api/prompts/words/translate").status_code == 404
    create(call, labels=["production"])
    assert call("dana", "get", "/api/prompts/words/translate").json()["name"] == "words/translate"
