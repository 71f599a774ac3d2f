"""The official `openai` client's `responses`, unmodified but for address and key, against the running studio: with a
stored prompt, with plain input, whole and streamed, over the real model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.stack import Stack

MODEL = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def key(studio: Stack) -> str:
    return studio.api_key()


@pytest.fixture(scope="module")
def client(studio: Stack, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{studio.url}/v1", api_key=key, timeout=60, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def prompts(studio: Stack, key: str) -> Iterator[openai.OpenAI]:
    """/api, asked with the same client's plain requests."""
    with openai.OpenAI(base_url=f"{studio.url}/api", api_key=key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def stored(prompts: openai.OpenAI) -> str:
    messages = [
        {"role": "system", "content": "You answer in one short sentence."},
        {"role": "user", "content": "Say hello to {{name}}."},
    ]
    body: Any = {
        "name": "greetings/hello",
        "messages": messages,
        "labels": ["production"],
        "config": {"temperature": 0, "max_tokens": 24},
    }
    return str(prompts.post("/prompts", body=body, cast_to=dict[str, Any])["id"])


def test_a_stored_prompt_whole_and_streamed(client: openai.OpenAI, stored: str) -> None:
    prompt: Any = {"id": stored, "version": "1", "variables": {"name": "Ada"}}
    whole = client.responses.create(prompt=prompt)
    assert (whole.status, whole.model) in (("completed", MODEL), ("incomplete", MODEL))
    assert whole.output_text
    assert whole.usage and 0 < whole.usage.output_tokens <= 24
    assert whole.prompt and whole.prompt.version == "1"

    events = list(client.responses.create(prompt={**prompt, "id": "greetings/hello"}, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[0].type == "response.created"
    last = events[-1]
    assert last.type in ("response.completed", "response.incomplete")
    assert last.response.output_text == whole.output_text
    assert last.response.usage == whole.usage


def test_its_stream_helper_follows(client: openai.OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="Say hello.", temperature=0, max_output_tokens=16) as stream:
        events = list(stream)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text
    assert events[-1].response.output_text == text


def test_plain_input_and_a_conversation(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model=MODEL,
        instructions="Be brief.",
        input=[
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": "Hello Ada."},
            {"role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]},
        ],
        temperature=0,
        max_output_tokens=24,
        metadata={"from": "a test"},
    )
    assert answer.output_text
    assert answer.metadata == {"from": "a test"}


def test_errors_are_the_clients_own(client: openai.OpenAI, stored: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(prompt={"id": stored, "variables": {"nmae": "Ada"}})
    assert caught.value.param == "prompt.variables"
    assert "nmae" in caught.value.message
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(prompt={"id": "pmpt_nobody"})
    assert (missing.value.param, missing.value.code) == ("prompt.id", "prompt_not_found")
    with pytest.raises(openai.BadRequestError) as unsupported:
        client.responses.create(model=MODEL, input="x", tools=[{"type": "web_search"}])
    assert unsupported.value.param == "tools"


def test_run_says_how_it_went(prompts: openai.OpenAI, stored: str) -> None:
    body: Any = {"variables": {"name": "Ada"}}
    answer = prompts.post("/prompts/greetings/hello/run", body=body, cast_to=dict[str, Any])
    assert answer["text"] and answer["usage"]["completion_tokens"] > 0
    assert answer["prompt"] == {"name": "greetings/hello", "version": 1}
    assert json.dumps(answer["first_token_ms"]) != "null"
