"""/v1/responses through the real runner, token log and database; only the engine is a parrot.

The official client against the real model is in test_responses_client.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from jobs.models import Generation
from tests.api.parrot import Parrot
from workspace.models import ExampleSet, Membership, Prompt, PromptAlias, PromptLabel, Team, User

SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}


@pytest.fixture
def prompt(transactional_db: None, team: Team, alice: User) -> Prompt:
    """Version 1 is in production; version 2 is cold and takes a list."""
    prompt = Prompt.start(
        team=team, author=alice, name="words/translate", config={"model": "tiny", "temperature": 0.1, "max_tokens": 9},
        messages=[
            {"role": "system", "content": "You know {{language}}."},
            {"type": "placeholder", "name": "history"},
            {"role": "user", "content": "Translate {{word}}."},
        ],
        variables=[{"name": "language", "default": "French"}],
    )  # fmt: skip
    PromptLabel.move(prompt.find(version=1), "production", by=Membership.objects.get(team=team, user=alice))
    prompt.save_version(
        alice, based_on=1, messages=[{"role": "user", "content": "Words:\n{{words}}"}], config={"model": "tiny"},
        variables=[{"name": "words", "type": "list"}],
    )  # fmt: skip
    return prompt


@pytest.fixture
def ask(keys: dict[str, str], parrot: Parrot, settings: Any) -> Callable[..., Any]:
    settings.STUDIO_DEFAULT_MODEL = "tiny"

    async def send(who: str = "bob", **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {keys[who]}"}
        async with asyncio.timeout(20):
            return await AsyncClient().post(
                "/v1/responses", json.dumps(body), content_type="application/json", headers=headers
            )

    return send


async def events(answer: Any) -> list[dict[str, Any]]:
    """What a client hears: each event's name is its data's type."""
    heard = b"".join([part async for part in answer.streaming_content]).decode()
    found = []
    for event in heard.split("\n\n"):
        if event and not event.startswith(":"):
            name, data = event.split("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {found[-1]['type']}"
    return found


def asked(parrot: Parrot) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in parrot.asked[-1].messages]


async def refused(answer: Any) -> tuple[int, str | None, str | None, str]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert not await Generation.objects.aexists()
    return answer.status_code, error["param"], error["code"], error["message"]


async def test_a_stored_prompt_is_answered(ask: Any, parrot: Parrot, prompt: Prompt) -> None:
    answer = (await ask(prompt={"id": "words/translate", "variables": {"word": "house"}})).json()
    generation = await Generation.objects.select_related("author").aget()
    assert asked(parrot) == [("system", "You know French."), ("user", "Translate house.")]
    assert (answer["id"], answer["object"]) == (f"resp_{generation.pk.hex}", "response")
    assert (answer["status"], answer["model"]) == ("completed", "tiny")
    assert answer["prompt"] == {"id": "words/translate", "version": "1", "variables": {"word": "house"}}
    assert answer["output"] == [
        {
            "id": f"msg_{generation.pk.hex}",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Bonjour à tous", "annotations": [], "logprobs": []}],
        }
    ]
    assert answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"] == 11
    assert (answer["temperature"], answer["max_output_tokens"]) == (0.1, 9)
    assert (generation.purpose, generation.author.name) == ("api", "Bob")
    assert generation.prompt_version_id == (await sync_to_async(prompt.find)(version=1)).pk


async def test_it_is_found_by_name_id_and_alias(ask: Any, prompt: Prompt, team: Team) -> None:
    await PromptAlias.objects.acreate(team=team, alias="pmpt_68ab", prompt=prompt)
    for name in ("words/translate", str(prompt.pk), "pmpt_68ab"):
        answer = (await ask(prompt={"id": name, "variables": {"word": "a"}})).json()
        assert answer["prompt"]["version"] == "1", name


@pytest.mark.parametrize(("version", "number"), [("1", "1"), ("2", "2"), ("latest", "2"), ("production", "1")])
async def test_its_version_is_a_number_or_a_label(ask: Any, prompt: Prompt, version: str, number: str) -> None:
    variables = {"word": "a"} if number == "1" else {"words": ["a", "b"]}
    answer = (await ask(prompt={"id": "words/translate", "version": version, "variables": variables})).json()
    assert answer["prompt"]["version"] == number


async def test_variables_are_typed_and_may_be_openais_parts(ask: Any, parrot: Parrot, prompt: Prompt) -> None:
    await ask(prompt={"id": "words/translate", "version": "2", "variables": {"words": ["a", "b"]}})
    assert asked(parrot) == [("user", "Words:\n- a\n- b")]
    part = {"type": "input_text", "text": "{{language}}"}  # looks like a template, and is not read as one
    await ask(prompt={"id": "words/translate", "variables": {"word": part}})
    assert asked(parrot)[-1] == ("user", "Translate {{language}}.")


async def test_input_goes_where_the_history_belongs_else_behind(ask: Any, parrot: Parrot, prompt: Prompt) -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Yes?"}]},
    ]
    await ask(prompt={"id": "words/translate", "variables": {"word": "a"}}, input=turns, instructions="Be brief.")
    assert asked(parrot) == [
        ("system", "Be brief."),
        ("system", "You know French."),
        ("user", "Hi"),
        ("assistant", "Yes?"),
        ("user", "Translate a."),
    ]
    await ask(prompt={"id": "words/translate", "version": "2", "variables": {"words": "a"}}, input="Go on.")
    assert asked(parrot)[-1] == ("user", "Go on.")


async def test_examples_come_along(ask: Any, parrot: Parrot, team: Team, alice: User) -> None:
    def start() -> None:
        examples = ExampleSet.start(team=team, author=alice, name="Words")
        examples.add(alice, input="tree", output="arbre")
        Prompt.start(
            team=team, author=alice, name="p", messages=[{"role": "user", "content": "{{word}}?"}],
            examples=examples.newest,
        )  # fmt: skip

    await sync_to_async(start)()
    await ask(prompt={"id": "p", "version": "latest", "variables": {"word": "house"}})
    assert asked(parrot) == [("user", "tree?"), ("assistant", "arbre"), ("user", "house?")]


async def test_plain_input_needs_no_prompt(ask: Any, parrot: Parrot) -> None:
    answer = (await ask(input="Hello", instructions="Be kind.", metadata={"a": "b"}, temperature=0, seed=-1)).json()
    assert asked(parrot) == [("system", "Be kind."), ("user", "Hello")]
    assert (answer["prompt"], answer["metadata"], answer["instructions"]) == (None, {"a": "b"}, "Be kind.")
    assert (answer["temperature"], parrot.asked[0].sampling.seed) == (0, 2**32 - 1)


async def test_an_answer_by_schema_asks_the_engine_for_it(ask: Any, parrot: Parrot) -> None:
    wanted = {"format": {"type": "json_schema", "name": "word", "schema": SCHEMA, "strict": True}}
    answer = (await ask(input="Hello", text=wanted)).json()
    assert answer["text"] == wanted
    assert parrot.asked[0].sampling.json_schema == SCHEMA
    await ask(input="Hello", text={"format": {"type": "json_object"}})
    assert parrot.asked[1].sampling.json_schema == {"type": "object"}


STORED = {"id": "words/translate"}


@pytest.mark.parametrize(
    ("body", "status", "param", "says"),
    [
        ({}, 400, "input", "Say what to answer"),
        ({"input": ""}, 400, "input", "Say what"),
        ({"prompt": STORED}, 400, "prompt.variables", "No value was given for word."),
        ({"prompt": STORED | {"variables": {"word": "a", "tone": "b"}}}, 400, "prompt.variables", "no variable tone"),
        (
            {"prompt": STORED | {"variables": {"word": {"type": "input_image", "image_url": "x"}}}},
            400, "prompt.variables.word", "text only",
        ),
        ({"prompt": {"id": "nobody"}}, 404, "prompt.id", "Prompt with id 'nobody' not found."),
        ({"prompt": {"id": "pmpt_\u2603"}}, 404, "prompt.id", "not found"),
        ({"prompt": STORED | {"version": "7"}}, 404, "prompt.version", "no version 7"),
        ({"prompt": STORED | {"version": "staging"}}, 404, "prompt.version", "labelled staging"),
        ({"prompt": STORED | {"version": "9" * 30}}, 404, "prompt.version", "no version"),
        ({"prompt": STORED | {"draft": True}}, 400, "prompt.draft", ""),
        ({"input": "x", "model": "gpt-4o"}, 404, "model", "gpt-4o"),
        ({"input": "x", "temperature": 9}, 400, "temperature", ""),
        ({"input": "x", "max_output_tokens": 0}, 400, "max_output_tokens", ""),
        ({"input": "x", "tools": [{"type": "web_search"}]}, 400, "tools", "not supported"),
        ({"input": "x", "previous_response_id": "resp_1"}, 400, "previous_response_id", "not supported"),
        ({"input": "x", "background": True}, 400, "background", "not supported"),
        ({"input": "x", "surprise": 1}, 400, "surprise", ""),
        ({"input": [{"type": "function_call_output"}]}, 400, "input[0]", "Only messages"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, 400, "input[0].content", "text only"),
        ({"input": "nul \0"}, 400, "input", "U+0000"),
        ({"input": "x", "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "wrong"}}}}, 400,
         "text.format.schema", "not JSON Schema"),
        ({"input": "x", "text": {"format": {"type": "json_schema", "schema": {}}}}, 400, "text.format.name", "needs a name"),
        ({"input": "w" * 1_000_001}, 400, "input", "1,000,000"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_named(
    ask: Any, prompt: Prompt, body: dict[str, Any], status: int, param: str, says: str
) -> None:
    told = await refused(await ask(**body))
    assert told[:2] == (status, param), told
    assert says in told[3]


async def test_a_prompt_of_another_team_is_not_there(ask: Any, prompt: Prompt, team: Team) -> None:
    await PromptAlias.objects.acreate(team=team, alias="pmpt_1", prompt=prompt)
    for name in ("words/translate", str(prompt.pk), "pmpt_1"):
        told = await refused(await ask("charlie", prompt={"id": name, "variables": {"word": "a"}}))
        assert told[:2] == (404, "prompt.id")


async def test_the_prompts_model_is_not_there(ask: Any, team: Team, alice: User) -> None:
    content = {"messages": [{"role": "user", "content": "Hi"}], "config": {"model": "gpt-4o"}}
    await sync_to_async(Prompt.start)(team=team, author=alice, name="theirs", **content)
    told = await refused(await ask(prompt={"id": "theirs", "version": "latest"}))
    assert told[:3] == (404, "model", "model_not_found")
    assert "Say which `model` to use" in told[3]
    answer = await ask(prompt={"id": "theirs", "version": "latest"}, model="tiny")
    assert answer.status_code == 200


async def test_a_viewer_may_not(ask: Any) -> None:
    assert (await refused(await ask("dana", input="x")))[0] == 403


async def test_events_come_in_openais_order(ask: Any, parrot: Parrot) -> None:
    heard = await events(await ask(input="Hello", stream=True))
    kinds = [event["type"] for event in heard]
    deltas = [event for event in heard if event["type"] == "response.output_text.delta"]
    assert "".join(event["delta"] for event in deltas) == "Bonjour à tous"
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * len(deltas),
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in heard] == list(range(len(heard)))
    assert {event["item_id"] for event in heard if "item_id" in event} == {heard[-1]["response"]["output"][0]["id"]}
    assert heard[0]["response"]["status"] == "in_progress"
    assert heard[0]["response"]["output"] == []
    assert heard[-1]["response"]["usage"]["output_tokens"] == 4


async def test_a_failure_on_the_way_ends_the_stream(ask: Any, parrot: Parrot) -> None:
    parrot.error = "The engine broke."
    heard = await events(await ask(input="Hello", stream=True))
    assert [event["type"] for event in heard[-2:]] == ["error", "response.failed"]
    assert heard[-2]["message"] == heard[-1]["response"]["error"]["message"] == "The engine broke."


async def test_a_question_too_long_is_a_plain_error_even_streamed(ask: Any, parrot: Parrot) -> None:
    answer = await ask(input="word " * 200, stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
