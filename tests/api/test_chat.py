"""/v1/chat/completions through the real runner, token log and database; only the engine is a parrot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.test import AsyncClient

from jobs.models import Generation, State, Worker
from jobs.openai.replies import Replies
from jobs.tokenlog import Piece
from tests.api.parrot import Parrot

PATH = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def ask(keys: dict[str, str], parrot: Parrot) -> Callable[..., Any]:
    async def send(who: str = "bob", **fields: Any) -> Any:
        body = {"model": "tiny", "messages": HELLO} | fields
        headers = {"Authorization": f"Bearer {keys[who]}"}
        async with asyncio.timeout(20):
            return await AsyncClient().post(PATH, json.dumps(body), content_type="application/json", headers=headers)

    return send


async def events(answer: Any) -> AsyncIterator[Any]:
    """What a client hears: the data of each event, parsed; comments left out."""
    text = ""
    async for part in answer.streaming_content:
        text += part.decode()
        while "\n\n" in text:
            event, text = text.split("\n\n", 1)
            if event.startswith("data: "):
                yield "[DONE]" if event == "data: [DONE]" else json.loads(event[6:])
    assert not text


async def until(condition: Callable[[], Any]) -> Any:
    async with asyncio.timeout(20):
        while not (found := await sync_to_async(condition)()):
            await asyncio.sleep(0.01)
        return found


async def test_a_whole_answer(ask: Any, parrot: Parrot) -> None:
    answer = (await ask()).json()
    generation = await Generation.objects.select_related("author").aget()
    assert answer["id"] == f"chatcmpl-{generation.pk.hex}"
    assert (answer["object"], answer["model"]) == ("chat.completion", "tiny")
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Bonjour à tous", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}
    assert (generation.author.email, generation.purpose, generation.state) == (
        "bob@example.com",
        "api",
        State.SUCCEEDED,
    )


async def test_parameters_reach_the_engine(ask: Any, parrot: Parrot) -> None:
    parts = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]
    messages = [{"role": "developer", "content": parts}, {"role": "user", "content": "Hi", "name": "bob"}]
    ignored = {"user": "someone", "store": True, "tools": [], "n": None, "future_field": {"x": 1}}
    answer = await ask(
        messages=messages,
        temperature=0,
        top_p=0.5,
        max_completion_tokens=9,
        seed=2**40 + 3,
        stop="END",
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        **ignored,
    )
    assert answer.status_code == 200
    (request,) = parrot.asked
    assert request.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0, 0.5, 9)
    assert (sampling.seed, sampling.stop) == (3, ("END",))
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.5, -0.5)


async def test_a_stream_arrives_word_by_word(ask: Any, parrot: Parrot) -> None:
    parrot.slow = True
    parrot.go.release()
    answer = await ask(stream=True, stream_options={"include_usage": True})
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["X-Accel-Buffering"] == "no"
    heard = events(answer)
    first = await anext(heard)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert (await anext(heard))["choices"][0]["delta"] == {"content": "Bon"}  # and no more: the parrot waits
    parrot.slow = False
    parrot.go.release()
    rest = [event async for event in heard]
    assert rest.pop() == "[DONE]"
    usage = rest.pop()
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 11)
    last = rest.pop()
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert "".join(event["choices"][0]["delta"]["content"] for event in rest) == "jour à tous"
    assert {
        (event["id"], event["created"], event["model"], event["object"]) for event in [first, *rest, last, usage]
    } == {(first["id"], first["created"], "tiny", "chat.completion.chunk")}
    assert all(event["usage"] is None for event in [first, *rest, last])


async def test_several_choices_whole_and_streamed(ask: Any, parrot: Parrot) -> None:
    answer = (await ask(n=3, seed=5)).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 12, "total_tokens": 19}
    assert sorted(request.sampling.seed for request in parrot.asked) == [5, 6, 7]
    texts, ends = ["", ""], [None, None]
    async for event in events(await ask(n=2, stream=True)):
        if event != "[DONE]":
            (choice,) = event["choices"]
            texts[choice["index"]] += choice["delta"].get("content", "")
            ends[choice["index"]] = choice["finish_reason"] or ends[choice["index"]]
    assert (texts, ends) == (["Bonjour à tous"] * 2, ["stop"] * 2)


def json_schema(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


@pytest.mark.parametrize(
    ("response_format", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        (json_schema({"enum": ["red", "blue"]}), {"enum": ["red", "blue"]}),
        ({"type": "json_schema", "json_schema": {"name": "any"}}, {"type": "object"}),
    ],
)
async def test_json_is_asked_of_the_engine(ask: Any, parrot: Parrot, response_format: Any, schema: Any) -> None:
    answer = await ask(response_format=response_format)
    assert answer.status_code == 200
    assert parrot.asked[0].sampling.json_schema == schema


async def test_a_program_gets_what_was_generated_and_no_hidden_second_try(ask: Any, parrot: Parrot) -> None:
    answer = (await ask(response_format=json_schema({"enum": ["red", "blue"]}))).json()
    assert answer["choices"][0]["message"]["content"] == "Bonjour à tous"
    generation = await Generation.objects.aget()
    assert "not JSON" in generation.schema_problem


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_that_does_not_fit_is_a_plain_400(ask: Any, stream: bool) -> None:
    answer = await ask(messages=[{"role": "user", "content": "word " * 200}], stream=stream)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert "200" in error["message"]


async def test_a_failure_in_mid_stream_is_the_last_event(ask: Any, parrot: Parrot) -> None:
    parrot.slow, parrot.error = True, "The engine stopped."
    parrot.go.release()
    heard = events(await ask(stream=True))
    await anext(heard)
    assert (await anext(heard))["choices"][0]["delta"] == {"content": "Bon"}
    parrot.slow = False
    parrot.go.release()
    rest = [event async for event in heard]
    assert rest[-1]["error"]["message"] == "The engine stopped."
    assert rest[-1]["error"]["type"] == "server_error"


async def test_a_whole_answer_that_fails_is_a_500(ask: Any, parrot: Parrot) -> None:
    parrot.error = "The engine stopped."
    answer = await ask()
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "The engine stopped."


@pytest.mark.parametrize("stream", [False, True], ids=["before the answer", "in mid-stream"])
async def test_a_client_that_leaves_stops_the_model(parrot: Parrot, keys: dict[str, str], stream: bool) -> None:
    """As the web server sees it: the connection is gone while the parrot still speaks."""
    parrot.slow = True
    parrot.go.release()
    headers = [(b"authorization", f"Bearer {keys['bob']}".encode()), (b"content-type", b"application/json")]
    headers.append((b"host", b"testserver"))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": PATH,
        "query_string": b"",
        "headers": headers,
    }
    web = ApplicationCommunicator(ASGIHandler(), scope)
    body = {"model": "tiny", "messages": HELLO, "stream": stream, "n": 2}
    await web.send_input({"type": "http.request", "body": json.dumps(body).encode()})
    await until(lambda: Generation.objects.filter(state=State.RUNNING).count() == 2)
    if stream:
        assert (await web.receive_output(20))["status"] == 200
        assert (await web.receive_output(20))["body"].startswith(b"data: ")
    await web.send_input({"type": "http.disconnect"})
    await until(lambda: Generation.objects.filter(state=State.CANCELLED).count() == 2)
    await web.wait(20)


@pytest.mark.parametrize("moments", range(6))
async def test_a_client_that_leaves_as_a_word_arrives_is_noticed(moments: int) -> None:
    """Whichever of the two the loop comes to first: who has left does not keep a model busy."""
    replies = Replies([Generation()])
    listening = asyncio.create_task(anext(replies.new_text()))
    await asyncio.sleep(0.01)
    replies._events.put_nowait((0, Piece(1, "Bon")))
    for _ in range(moments):
        await asyncio.sleep(0)
    left = listening.cancel()
    done, _ = await asyncio.wait([listening], timeout=5)
    assert done and listening.cancelled() == left


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content",
        ),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "nul \x00"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "half \ud800"}]}, "messages[0].content"),
        ({"messages": HELLO * 1001}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_001}]}, "messages"),
        ({"model": None}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 10**9}, "max_completion_tokens"),
        ({"presence_penalty": 9}, "presence_penalty"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"n": 5}, "n"),
        ({"n": 0}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.name"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
            "response_format.json_schema.name",
        ),
        ({"response_format": json_schema([])}, "response_format.json_schema.schema"),
        ({"response_format": json_schema({"type": "banana"})}, "response_format.json_schema.schema"),
        ({"response_format": json_schema({"$ref": "http://x.com/y"})}, "response_format.json_schema.schema"),
        ({"response_format": json_schema({"enum": ["x" * 20_000]})}, "response_format.json_schema.schema"),
        ({"modalities": ["text", "audio"]}, "modalities"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    ask: Any, parrot: Parrot, fields: dict[str, Any], param: str
) -> None:
    answer = await ask(**fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert not await Generation.objects.aexists()


async def test_another_teams_adapter_cannot_answer(ask: Any, adapter: Any) -> None:
    answer = await ask("charlie", model=await sync_to_async(lambda: adapter.key)())
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


async def test_without_a_worker_the_answer_is_a_503_at_once(ask: Any) -> None:
    await Worker.objects.all().adelete()
    answer = await ask()
    assert answer.status_code == 503
    assert "worker" in answer.json()["error"]["message"]


async def test_a_team_that_already_waits_for_many_replies_is_told_to_wait(
    ask: Any, team: Any, base: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("jobs.openai.chat.MAX_WAITING", 1)
    answer = await ask(n=2)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"]
