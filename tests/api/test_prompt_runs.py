"""POST /api/prompts/NAME/run: the answer, how it went, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from jobs.models import Generation
from tests.api.conftest import error_of
from tests.api.parrot import Parrot
from workspace.models import Membership, Prompt, PromptLabel, Team, User

CHAT = [
    {"role": "system", "content": "You know {{language}}."},
    {"type": "placeholder", "name": "history"},
    {"role": "user", "content": "Translate {{word}}."},
]


@pytest.fixture
def run(keys: dict[str, str], parrot: Parrot) -> Callable[..., Any]:
    async def send(name: str, who: str = "bob", **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {keys[who]}"}
        path = f"/api/prompts/{name}/run"
        async with asyncio.timeout(20):
            return await AsyncClient().post(path, json.dumps(body), content_type="application/json", headers=headers)

    return send


@pytest.fixture
def prompt(transactional_db: None, team: Team, alice: User) -> Prompt:
    prompt = Prompt.start(
        team=team, author=alice, name="words/translate", messages=CHAT, config={"model": "tiny"},
        variables=[{"name": "language", "default": "French"}],
    )  # fmt: skip
    PromptLabel.move(prompt.find(version=1), "production", by=Membership.objects.get(team=team, user=alice))
    return prompt


async def test_the_answer_and_how_it_went(run: Any, prompt: Prompt, parrot: Parrot) -> None:
    answer = (
        await run(
            "words/translate",
            variables={"word": "house"},
            placeholders={"history": [{"role": "user", "content": "Hi"}]},
            params={"temperature": 0, "max_tokens": 5},
        )
    ).json()
    assert [message["content"] for message in parrot.asked[0].messages] == [
        "You know French.",
        "Hi",
        "Translate house.",
    ]
    assert (parrot.asked[0].sampling.temperature, parrot.asked[0].sampling.max_tokens) == (0, 5)
    assert answer["prompt"] == {"name": "words/translate", "version": 1}
    assert (answer["model"], answer["text"], answer["finish_reason"]) == ("tiny", "Bonjour à tous", "stop")
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}
    assert (answer["schema"], answer["json"]) == (None, None)
    assert answer["total_ms"] >= 0


async def test_json_by_schema(run: Any, team: Team, alice: User, parrot: Parrot) -> None:
    await sync_to_async(Prompt.start)(
        team=team, author=alice, name="p", messages=[{"role": "user", "content": "Hi"}], config={"model": "tiny"},
        schema={"type": "object"},
    )  # fmt: skip
    parrot.words = ['{"a"', ": 1}"]
    answer = (await run("p", label="latest")).json()
    assert (answer["json"], answer["schema"]) == ({"a": 1}, {"valid": True, "problem": None})
    assert parrot.asked[0].sampling.json_schema == {"type": "object"}


async def test_streamed(run: Any, prompt: Prompt) -> None:
    answer = await run("words/translate", variables={"word": "a"}, stream=True)
    text = b"".join([part async for part in answer.streaming_content]).decode()
    events = [event.split("\n") for event in text.split("\n\n") if event and not event.startswith(":")]
    data = [(name.removeprefix("event: "), json.loads(line.removeprefix("data: "))) for name, line in events]
    assert "".join(fields["text"] for name, fields in data if name == "delta") == "Bonjour à tous"
    assert (data[-1][0], data[-1][1]["text"]) == ("done", "Bonjour à tous")


@pytest.mark.parametrize(
    ("body", "status", "param", "says"),
    [
        ({}, 400, "variables", "No value was given for word."),
        ({"variables": {"word": "a", "b": 1}}, 400, "variables", "no variable b"),
        ({"variables": {"word": "a"}, "placeholders": {"x": []}}, 400, "placeholders", "It has history."),
        ({"variables": {"word": "a"}, "params": {"temperature": 9}}, 400, "params.temperature", ""),
        ({"variables": {"word": "a"}, "params": {"colour": 9}}, 400, "params.colour", ""),
        ({"variables": {"word": "a"}, "model": "none"}, 404, "model", "none"),
        ({"label": "staging"}, 404, None, "with label 'staging'"),
        ({"label": "a", "version": 1}, 400, None, "both"),
    ],
)
async def test_what_cannot_be_run_is_named(
    run: Any, prompt: Prompt, body: dict[str, Any], status: int, param: str | None, says: str
) -> None:
    answer = await run("words/translate", **body)
    assert answer.status_code == status, answer.content
    assert error_of(answer)["param"] == param
    assert says in error_of(answer)["message"]
    assert not await Generation.objects.aexists()
