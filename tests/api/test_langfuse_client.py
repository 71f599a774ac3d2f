"""The official `langfuse` client, unmodified but for address and keys, against the running studio.

Prompts come from the studio with labels, versions, cache and fallback as its users know them. Tracing is switched off:
the studio has prompts only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langfuse import Langfuse
from langfuse.api import NotFoundError

from tests.stack import Stack


@pytest.fixture(scope="module")
def client(studio: Stack) -> Iterator[Langfuse]:
    client = Langfuse(
        public_key="pk-anything", secret_key=studio.api_key(), base_url=studio.url, tracing_enabled=False, timeout=20
    )
    yield client
    client.shutdown()


def test_the_keys_are_good(client: Langfuse) -> None:
    assert client.auth_check()


def test_a_text_prompt_is_made_found_and_filled_in(client: Langfuse) -> None:
    made = client.create_prompt(
        name="letters/in a folder/greet",
        prompt="Dear {{name}}, {{news}}",
        labels=["production"],
        tags=["letters"],
        config={"temperature": 0.3},
        commit_message="First",
    )
    assert made.version == 1
    prompt = client.get_prompt("letters/in a folder/greet")
    assert (prompt.prompt, prompt.labels, prompt.tags) == (made.prompt, ["production", "latest"], ["letters"])
    assert (prompt.config, prompt.commit_message, prompt.is_fallback) == ({"temperature": 0.3}, "First", False)
    assert prompt.variables == ["name", "news"]
    assert prompt.compile(name="Ada", news="{{name}} is well.") == "Dear Ada, {{name}} is well."


def test_a_chat_prompt_with_a_placeholder(client: Langfuse) -> None:
    messages: Any = [
        {"role": "system", "content": "You know {{topic}}."},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": "{{question}}"},
    ]
    client.create_prompt(name="expert", type="chat", prompt=messages, labels=["production"])
    prompt = client.get_prompt("expert", type="chat")
    filled = prompt.compile(topic="lamps", question="Why?", history=[{"role": "assistant", "content": "Ask."}])
    assert [(message["role"], message["content"]) for message in filled] == [
        ("system", "You know lamps."),
        ("assistant", "Ask."),
        ("user", "Why?"),
    ]


def test_labels_and_versions(client: Langfuse) -> None:
    for text in ("one", "two", "three"):
        client.create_prompt(name="numbers", prompt=text, labels=["production"] if text == "one" else [])
    assert client.get_prompt("numbers").prompt == "one"
    assert client.get_prompt("numbers", version=2).prompt == "two"
    assert client.get_prompt("numbers", label="latest").prompt == "three"
    moved = client.update_prompt(name="numbers", version=2, new_labels=["production", "staging"])
    assert moved.labels == ["production", "staging"]
    assert client.get_prompt("numbers").prompt == "two"  # at once: no cache of ours stands in between
    assert client.get_prompt("numbers", label="staging").version == 2
    assert client.get_prompt("numbers", version=1).labels == []


def test_its_cache_is_used_and_refreshed(client: Langfuse, studio: Stack) -> None:
    other = Langfuse(public_key="pk-other", secret_key=studio.api_key(), base_url=studio.url, tracing_enabled=False)
    client.create_prompt(name="cached", prompt="old", labels=["production"])
    assert client.get_prompt("cached").prompt == "old"
    other.create_prompt(name="cached", prompt="new", labels=["production"])
    assert client.get_prompt("cached").prompt == "old"
    assert client.get_prompt("cached", cache_ttl_seconds=0).prompt == "new"
    other.shutdown()


def test_what_is_not_there(client: Langfuse) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.get_prompt("nobody/knows", max_retries=0)
    assert caught.value.body == {
        "message": "Prompt not found: 'nobody/knows' with label 'production'",
        "error": "LangfuseNotFoundError",
    }
    fallback = client.get_prompt("nobody/knows", fallback="Hello {{name}}", max_retries=0)
    assert (fallback.is_fallback, fallback.compile(name="Ada")) == (True, "Hello Ada")


def test_one_prompt_inside_another(client: Langfuse) -> None:
    client.create_prompt(name="parts/tone", prompt="kindly to {{name}}", labels=["production"])
    client.create_prompt(
        name="composed", prompt="Speak @@@langfusePrompt:name=parts/tone|label=production@@@.", labels=["production"]
    )
    assert client.get_prompt("composed").compile(name="Ada") == "Speak kindly to Ada."
    raw = client.api.prompts.get("composed", resolve=False)
    assert raw.prompt == "Speak @@@langfusePrompt:name=parts/tone|label=production@@@."


def test_the_list(client: Langfuse) -> None:
    client.create_prompt(name="listed", prompt="x", tags=["for-the-list"])
    listed = client.api.prompts.list(tag="for-the-list")
    assert [(entry.name, entry.versions, entry.labels) for entry in listed.data] == [("listed", [1], ["latest"])]
    assert listed.meta.total_items == 1


def test_tracing_left_on_costs_nothing_but_a_message(studio: Stack) -> None:
    """Its spans meet a 404 here; what the program does goes on."""
    tracing = Langfuse(public_key="pk-traced", secret_key=studio.api_key(), base_url=studio.url, flush_at=1)
    tracing.create_prompt(name="traced", prompt="Hi", labels=["production"])
    with tracing.start_as_current_observation(name="work", as_type="generation"):
        assert tracing.get_prompt("traced").compile() == "Hi"
    tracing.flush()
    tracing.shutdown()
