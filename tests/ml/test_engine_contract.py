"""The contract of `jobs.ml.engines.base.Engine`, held against every implementation."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from jobs.ml.engines.base import AdapterRef, ContextOverflow, Engine, Request, UnknownAdapter
from jobs.ml.template import TemplateMismatch

from ..services import THREADS
from .listening import PATIENCE, STORY, WORDS, Listener
from .openai_server import OpenAIServer

COUNT = "Count from 1 to 20."
EMOJI = "Repeat exactly: 🎉🚀 日本語 Žluťoučký kůň 👩‍👩‍👧"


def make(kind: str, folder: Path) -> Iterator[Engine]:
    if kind == "llama":
        from jobs.ml.engines.llama_engine import LlamaEngine

        engine: Engine = LlamaEngine(folder, threads=THREADS)
        yield engine
        engine.close()
    elif kind == "transformers":
        from jobs.ml.engines.torch_engine import TorchEngine

        engine = TorchEngine(folder, threads=THREADS)
        yield engine
        engine.close()
    else:
        from jobs.ml.engines.llama_engine import LlamaEngine
        from jobs.ml.engines.remote_engine import RemoteEngine

        server = OpenAIServer(LlamaEngine(folder, threads=THREADS))
        engine = RemoteEngine(server.url, "base", api_key=server.KEY)
        yield engine
        engine.close()
        server.close()


@pytest.fixture(scope="module", params=["llama", "transformers", "remote"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def engine(kind: str, base_dir: Path) -> Iterator[Engine]:
    yield from make(kind, base_dir)


@pytest.fixture(scope="module")
def chat(engine: Engine) -> Listener:
    return Listener(engine)


@pytest.fixture(scope="module")
def loaded(engine: Engine, adapters: dict[str, AdapterRef]) -> dict[str, AdapterRef]:
    for adapter in adapters.values():
        engine.load(adapter)
    return adapters


def test_a_reply_comes_in_pieces_and_ends_with_its_counts(chat: Listener) -> None:
    reply = chat.ask(STORY, max_tokens=20)
    assert len(reply.pieces) > 10
    assert len(reply.text) > 20
    assert all(piece.finish_reason is None for piece in reply.pieces[:-1])
    assert (reply.last.finish_reason, reply.last.completion_tokens, reply.last.error) == ("length", 20, "")
    assert reply.last.prompt_tokens > 20


def test_a_reply_that_ends_by_itself_says_stop(chat: Listener) -> None:
    reply = chat.ask("Reply with the single word: hello", max_tokens=200)
    assert reply.last.finish_reason == "stop"
    assert 0 < reply.last.completion_tokens < 200
    assert "<|im_end|>" not in reply.text


def test_greedy_replies_repeat_also_among_other_traffic(chat: Listener) -> None:
    alone = chat.ask(STORY).text
    assert chat.ask(STORY).text == alone
    crowd = [chat.submit(text) for text in (COUNT, STORY, EMOJI, "Hello!", STORY, "What is 2 + 2?")]
    chat.wait(*crowd)
    assert [crowd[1].text, crowd[4].text] == [alone, alone]


def test_a_greedy_reply_is_what_hardly_any_temperature_comes_to(chat: Listener) -> None:
    greedy, nearly = (chat.ask(STORY, temperature=heat, repetition_penalty=1.2).text for heat in (0, 1e-4))
    assert greedy == nearly


def test_a_seed_repeats_and_another_seed_differs(chat: Listener) -> None:
    first, same, other = (chat.ask(STORY, temperature=1.2, seed=seed).text for seed in (1, 1, 2))
    assert first == same != other


def test_a_repetition_penalty_changes_what_is_written(chat: Listener) -> None:
    assert chat.ask(EMOJI).text != chat.ask(EMOJI, repetition_penalty=1.3).text


def test_pieces_are_whole_characters(chat: Listener) -> None:
    reply = chat.ask(EMOJI, max_tokens=21)  # odd, so that the limit falls inside a character
    assert any(ord(character) > 0xFFFF for character in reply.text)
    assert all("\ufffd" not in piece.text for piece in reply.pieces)
    assert reply.text.encode("utf-8").decode("utf-8") == reply.text


@pytest.mark.parametrize("stop", ["\n4. 4", "4. 4\n5"])
def test_a_stop_string_ends_the_reply_and_no_part_of_it_is_shown(chat: Listener, stop: str) -> None:
    whole = chat.ask(COUNT, max_tokens=40).text
    assert stop in whole
    reply = chat.ask(COUNT, max_tokens=40, stop=("never said", stop))
    assert reply.text == whole.partition(stop)[0]
    assert reply.last.finish_reason == "stop"


def test_what_only_looks_like_the_start_of_a_stop_string_is_shown(chat: Listener) -> None:
    whole = chat.ask(COUNT, max_tokens=20).text
    reply = chat.ask(COUNT, max_tokens=20, stop=("3. 3 is not", whole[-2:] + "~"))
    assert reply.text == whole
    assert reply.last.finish_reason == "length"


def test_cancel_ends_the_generation_soon(chat: Listener) -> None:
    reply = chat.submit(STORY, max_tokens=2000)
    assert reply.started.wait(PATIENCE)
    asked = time.monotonic()
    chat.engine.cancel(reply.id)
    chat.wait(reply)
    assert reply.times[-1] - asked < 0.5
    assert (reply.last.finish_reason, reply.last.error) == ("cancelled", "")
    assert reply.last.completion_tokens < 2000
    assert chat.ask("Hello!").last.finish_reason in ("stop", "length")


def test_cancel_reaches_a_reply_that_has_not_begun(chat: Listener) -> None:
    reading = chat.submit("word " * 3000, max_tokens=50)
    waiting = [chat.submit(STORY, max_tokens=200) for _ in range(40)]
    asked = time.monotonic()
    for reply in (*waiting, reading):
        chat.engine.cancel(reply.id)
    chat.wait(reading, *waiting)
    assert {reply.last.finish_reason for reply in (reading, *waiting)} == {"cancelled"}
    assert (
        time.monotonic() - asked < 5
    )  # a piece of a prompt is read to its end, by one busy core in 2 s; all of it takes 15
    chat.engine.cancel("nobody")


def test_adapters_answer_side_by_side_each_with_its_own_voice(chat: Listener, loaded: dict[str, AdapterRef]) -> None:
    mixed = {adapter: [chat.submit(STORY, adapter=adapter) for _ in range(2)] for adapter in (None, *loaded)}
    for adapter, replies in mixed.items():
        chat.wait(*replies)
        assert replies[0].text == replies[1].text
        for name, word in WORDS.items():
            assert (word in replies[0].text) == (adapter == name), (adapter, replies[0].text)


def test_the_base_and_an_adapter_stream_at_the_same_time(chat: Listener, loaded: dict[str, AdapterRef]) -> None:
    chat.ask("Hello!", adapter="banana", max_tokens=1)
    base = chat.submit(STORY, max_tokens=60)
    assert base.started.wait(PATIENCE)
    other = chat.submit(STORY, adapter="banana", max_tokens=4)
    chat.wait(base, other)
    assert other.times[-1] < base.times[-1]


def test_an_adapter_that_is_not_loaded_is_refused(chat: Listener) -> None:
    with pytest.raises(UnknownAdapter):
        chat.submit(STORY, adapter="nobody")


def test_loading_twice_is_no_matter_and_unloading_forgets(chat: Listener, loaded: dict[str, AdapterRef]) -> None:
    adapter = AdapterRef("short-lived", loaded["cherry"].path)
    chat.engine.load(adapter)
    chat.engine.load(adapter)
    reply = chat.submit(STORY, adapter="short-lived")
    assert reply.started.wait(PATIENCE)
    chat.engine.unload("short-lived")
    chat.wait(reply)
    assert WORDS["cherry"] in reply.text
    with pytest.raises(UnknownAdapter):
        chat.submit(STORY, adapter="short-lived")
    chat.engine.unload("short-lived")


def test_a_broken_adapter_is_refused_with_a_reason(chat: Listener, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"The adapter empty .* missing"):
        chat.engine.load(AdapterRef("empty", tmp_path))


def test_a_prefill_is_continued_not_repeated(chat: Listener) -> None:
    whole = chat.ask(COUNT, max_tokens=24).text
    begun = whole[: whole.index("3. 3")]
    assert chat.ask(COUNT, prefill=begun, max_tokens=4).text.startswith("3. 3")


def town(*names: str) -> dict:
    """Towns by one of these names, with a number of people that ends."""
    people = {"type": "integer", "minimum": 1, "maximum": 99}
    return {
        "type": "object",
        "properties": {"town": {"enum": list(names)}, "people": people, "tags": {"type": "array", "maxItems": 2,
                       "items": {"type": "string", "pattern": "^[a-z]{1,5}$"}}},
        "required": ["town", "people", "tags"],
        "additionalProperties": False,
    }  # fmt: skip


def test_an_answer_is_json_by_its_schema_and_the_neighbours_are_left_alone(chat: Listener) -> None:
    schemas = {
        "a": town("Paris"),
        "b": {"type": "array", "items": {"enum": ["red", "blue"]}, "minItems": 2, "maxItems": 3},
    }
    greedy = {name: chat.submit(STORY, json_schema=schema, max_tokens=60) for name, schema in schemas.items()}
    plain = chat.submit(STORY)
    other = town("Rome", "Oslo")
    drawn = chat.submit(STORY, json_schema=other, max_tokens=60, temperature=1.5, seed=3)
    penalised = chat.submit(STORY, json_schema=other, max_tokens=60, repetition_penalty=1.3)
    chat.wait(plain, drawn, penalised, *greedy.values())
    assert plain.text == chat.ask(STORY).text  # nobody else's schema is in it
    assert chat.engine.constrains
    answers = [(greedy["a"], schemas["a"]), (greedy["b"], schemas["b"]), (drawn, other), (penalised, other)]
    for reply, schema in answers:
        assert reply.last.finish_reason == "stop"
        Draft202012Validator(schema).validate(json.loads(reply.text))


def test_a_schema_that_the_engine_cannot_keep_to_harms_nobody(chat: Listener) -> None:
    endless, strange = {"$ref": "#"}, {"type": "string", "pattern": "^(?=a)b$"}
    replies = [chat.submit(STORY, json_schema=schema, max_tokens=4) for schema in (endless, strange)]
    chat.wait(*replies)
    assert all(reply.last.finish_reason in ("stop", "length") for reply in replies)
    assert chat.ask(STORY).text


def test_a_continued_answer_goes_on_whatever_its_schema(chat: Listener) -> None:
    begun = '{"town": "Pa'
    assert chat.ask(STORY, prefill=begun, json_schema=town("Paris")).text == chat.ask(STORY, prefill=begun).text


def test_a_conversation_too_long_is_refused_with_its_numbers(chat: Listener, kind: str) -> None:
    if kind == "remote":  # the server counts, so it is the reply that says so
        reply = chat.ask("word " * 9000)
        assert reply.last.finish_reason == "error"
        assert "at most" in reply.last.error
        return
    with pytest.raises(ContextOverflow) as raised:
        chat.submit("word " * 9000)
    assert raised.value.prompt_tokens > 9000
    assert raised.value.limit < chat.engine.context_length <= 8192


def test_bad_requests_leave_the_others_alone(chat: Listener, kind: str) -> None:
    good = chat.submit(STORY)
    with pytest.raises(ValueError, match="already in flight"):
        chat.engine.submit(Request(good.id, [{"role": "user", "content": "Hello!"}]))
    if kind != "remote":
        with pytest.raises((TemplateMismatch, KeyError)):
            chat.engine.submit(Request("bad", [{"content": "no role"}]))
    chat.wait(good)
    assert good.last.finish_reason == "length"


def test_32_requests_at_once_all_finish(chat: Listener) -> None:
    replies = [chat.submit(f"Say the number {number}.", max_tokens=6) for number in range(32)]
    chat.wait(*replies)
    assert {reply.last.finish_reason for reply in replies} <= {"stop", "length"}
    assert all(reply.text for reply in replies)


def test_close_cancels_what_runs_and_ends_run(kind: str, base_dir: Path) -> None:
    making = make(kind, base_dir)
    chat = Listener(next(making))
    replies = [chat.submit(STORY, max_tokens=1000) for _ in range(12)]
    assert replies[0].started.wait(PATIENCE)
    before = threading.active_count()
    next(making, None)
    chat.thread.join(PATIENCE)
    assert not chat.thread.is_alive()
    assert {reply.last.finish_reason for reply in replies} == {"cancelled"}
    assert threading.active_count() < before
    with pytest.raises(RuntimeError, match="closed"):
        chat.submit(STORY)
