"""The official `openai` client, unmodified but for address and key, against the running studio with the real model.

Chats, uploads, trains, polls and chats with the result: the whole job from code, as issue and README promise it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import openai
import pydantic
import pytest

from tests.stack import Stack

MODEL = "smollm2-135m-instruct"
WORDS = ["red", "green", "blue", "black", "white", "brown", "grey", "pink", "gold", "silver", "orange", "violet"]
ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"Colour: {word}"},
            {"role": "assistant", "content": f"The colour is {word}."},
        ]
    }
    for word in WORDS
]
QUESTION: Any = [{"role": "user", "content": "Say hello in one short sentence."}]
OPTIONS: Any = {
    "r": 4,
    "max_steps": 4,
    "max_length": 64,
    "batch_size": 2,
    "gradient_accumulation_steps": 1,
    "evals": 1,
    "probe_tokens": 8,
}


@pytest.fixture(scope="module")
def client(studio: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{studio.url}/v1", api_key=studio.api_key(), timeout=60, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def training_file(client: openai.OpenAI, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("rows") / "colours.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    with path.open("rb") as rows:
        return client.files.create(file=rows, purpose="fine-tune"), path


def until(look: Callable[[], Any], ready: Callable[[Any], bool], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not ready(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def test_the_model_is_listed_and_found(client: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("ft:nobody/knows:this")
    assert caught.value.code == "model_not_found"
    assert caught.value.request_id


def test_a_whole_answer_and_the_same_answer_streamed(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=24)
    answer = whole.choices[0].message.content
    assert answer
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage and whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert 0 < whole.usage.completion_tokens <= 24

    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=QUESTION,
            temperature=0,
            max_tokens=24,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == answer
    assert len(chunks) > 3
    assert chunks[-1].usage == whole.usage
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[0].finish_reason


def test_words_arrive_while_the_model_still_writes(client: openai.OpenAI) -> None:
    began = time.monotonic()
    first = 0.0
    story: Any = [{"role": "user", "content": "Tell me a long story about the sea."}]
    for chunk in client.chat.completions.create(model=MODEL, messages=story, max_tokens=120, stream=True):
        if not first and chunk.choices and chunk.choices[0].delta.content:
            first = time.monotonic() - began
    assert first < (time.monotonic() - began) / 2


def test_a_stop_string_ends_the_answer(client: openai.OpenAI) -> None:
    counting: Any = [{"role": "user", "content": "Count: one, two, three, four, five"}]
    answer = client.chat.completions.create(model=MODEL, messages=counting, temperature=0, max_tokens=40, stop=[","])
    assert "," not in (answer.choices[0].message.content or "")


class Town(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    name: Literal["Oslo", "Rome"]
    people: Annotated[int, pydantic.Field(ge=1, le=99)]
    colours: Annotated[list[Literal["red", "blue"]], pydantic.Field(max_length=2)]


def test_an_answer_by_a_schema_is_json_by_it_whole_streamed_and_parsed(client: openai.OpenAI) -> None:
    """The real model, 135M small: it would not get there by itself."""
    asked: Any = {
        "model": MODEL, "messages": [{"role": "user", "content": "Describe a town."}], "temperature": 0,
        "max_tokens": 80,
    }  # fmt: skip
    schema: Any = {"type": "json_schema", "json_schema": {"name": "town", "schema": Town.model_json_schema()}}
    whole = client.chat.completions.create(**asked, response_format=schema).choices[0]
    town = Town.model_validate_json(whole.message.content or "")
    assert whole.finish_reason == "stop"
    stream = client.chat.completions.create(**asked, response_format=schema, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert len(pieces) > 3 and "".join(pieces) == whole.message.content
    parsed = client.chat.completions.parse(**asked, response_format=Town)
    assert parsed.choices[0].message.parsed == town
    anything = client.chat.completions.create(**asked, response_format={"type": "json_object"}).choices[0]
    assert (anything.message.content or "").startswith("{")


def test_a_schema_that_cannot_be_used_is_named(client: openai.OpenAI) -> None:
    bad: Any = {"type": "json_schema", "json_schema": {"name": "bad", "schema": {"$ref": "https://example.com/s"}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=QUESTION, response_format=bad)
    assert (caught.value.code, caught.value.param) == ("invalid_json_schema", "response_format.json_schema.schema")


REPAIRED = """
from jobs.models import Generation, LanguageModel
from workspace.models import User
import json, time
alice = User.objects.get(email="alice@example.com")
asked = Generation.ask(
    team=alice.memberships.first().team, author=alice, purpose="cell", adapter=None,
    model=LanguageModel.objects.get(key="smollm2-135m-instruct"),
    messages=[{"role": "user", "content": "Say JSON."}], prefill='{"a":',
    params={"temperature": 0, "max_tokens": 24, "json_schema": {"enum": [{"a": "blue"}]}},
)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    now = Generation.objects.get(pk=asked.pk)
    if now.is_final and now.latest.is_final:
        break
    time.sleep(0.1)
print(json.dumps([now.is_structured, now.schema_problem, now.latest != now, now.latest.text, now.latest.is_structured]))
"""


def test_the_worker_repairs_a_wrong_answer_once(studio: Stack) -> None:
    """A continued answer is not constrained, so this one goes wrong; its repair begins anew, and is."""
    good, problem, repaired, text, after = json.loads(
        studio.manage("shell", "-v", "0", "-c", REPAIRED).splitlines()[-1]
    )
    assert (good, repaired, after) == (False, True, True) and problem
    assert json.loads(text) == {"a": "blue"}


def test_errors_are_the_clients_own(client: openai.OpenAI, studio: Stack) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "word " * 20_000}])
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=9)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-wrong").models.list()


def test_a_client_that_hangs_up_frees_the_model(client: openai.OpenAI, studio: Stack) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Tell me a very long story."}], max_tokens=1500, stream=True
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    stream.close()
    count = "from jobs.models import Generation; print(Generation.objects.unfinished().count())"
    until(lambda: studio.manage("shell", "-v", "0", "-c", count), lambda left: left == "0", seconds=20)


def test_a_file_comes_back_byte_for_byte(client: openai.OpenAI, training_file: tuple[Any, Path]) -> None:
    file, path = training_file
    assert (file.filename, file.bytes, file.purpose) == ("colours.jsonl", path.stat().st_size, "fine-tune")
    assert client.files.content(file.id).read() == path.read_bytes()
    assert file.id in [listed.id for listed in client.files.list(purpose="fine-tune")]


def test_it_trains_and_the_result_answers(client: openai.OpenAI, training_file: tuple[Any, Path]) -> None:
    file, _ = training_file
    job = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=file.id,
        suffix="colours",
        seed=3,
        metadata={"from": "a test"},
        extra_body={"lora": OPTIONS},
    )
    assert job.status in ("validating_files", "queued", "running")
    done = until(
        lambda: client.fine_tuning.jobs.retrieve(job.id),
        lambda job: job.status in ("succeeded", "failed", "cancelled"),
        500,
    )
    assert done.status == "succeeded", done.error
    assert done.trained_tokens and done.trained_tokens > 0
    assert done.finished_at and done.finished_at >= done.created_at
    assert done.fine_tuned_model and done.fine_tuned_model.startswith(f"ft:{MODEL}:")
    assert ":colours:" in done.fine_tuned_model

    events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))  # pages through them
    assert len({event.id for event in events}) == len(events)
    metrics = [event.data for event in events if event.type == "metrics"]
    assert {point["step"] for point in metrics} == {1, 2, 3, 4}
    assert all(point["train_loss"] > 0 for point in metrics)
    assert events[-1].message == f"Created fine-tuning job: {job.id}"
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert checkpoints[0].step_number == 4
    assert checkpoints[0].fine_tuning_job_id == job.id
    lines = client.files.content(done.result_files[0]).read().decode().splitlines()
    assert lines[0].startswith("step,train_loss")
    assert len(lines) == 5
    assert job.id in [listed.id for listed in client.fine_tuning.jobs.list(metadata={"from": "a test"})]
    assert client.fine_tuning.jobs.list(metadata={"from": "nowhere"}).data == []

    assert done.fine_tuned_model in [model.id for model in client.models.list()]
    answer = client.chat.completions.create(
        model=done.fine_tuned_model, messages=[{"role": "user", "content": "Colour: red"}], temperature=0, max_tokens=16
    )
    assert answer.model == done.fine_tuned_model
    assert answer.choices[0].message.content
    assert client.models.delete(done.fine_tuned_model).deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model=done.fine_tuned_model, messages=QUESTION)


def test_a_bad_file_fails_with_its_lines(client: openai.OpenAI) -> None:
    good = json.dumps(ROWS[0])
    bad = json.dumps({"messages": [{"role": "user", "content": "and the answer?"}]})
    file = client.files.create(file=("bad.jsonl", f"{good}\n{bad}\n".encode()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id)
    failed = until(lambda: client.fine_tuning.jobs.retrieve(job.id), lambda job: job.status == "failed", 60)
    assert failed.error and "line 2" in failed.error.message
    assert failed.error.param == "training_file"


def test_a_job_is_cancelled(client: openai.OpenAI, training_file: tuple[Any, Path]) -> None:
    file, _ = training_file
    job = client.fine_tuning.jobs.create(
        model=MODEL, training_file=file.id, extra_body={"lora": OPTIONS | {"max_steps": 5000}}
    )
    until(lambda: client.fine_tuning.jobs.retrieve(job.id), lambda job: job.status == "running", 60)
    client.fine_tuning.jobs.cancel(job.id)
    until(lambda: client.fine_tuning.jobs.retrieve(job.id), lambda job: job.status == "cancelled", 60)
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.cancel(job.id)
