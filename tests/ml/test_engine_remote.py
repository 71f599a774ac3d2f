"""An engine on another server: what is asked of it, and what a person is told when it does not answer."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from jobs.ml.engines.open import open_engine

from .listening import STORY, Listener
from .openai_server import OpenAIServer


def ask_remote(url: str, model: str = "base", key: str = "sk-test") -> str:
    engine = open_engine("remote", url, model=model, api_key=key)
    try:
        reply = Listener(engine).ask("Hello!", max_tokens=4)
    finally:
        engine.close()
    assert reply.last.finish_reason == "error"
    assert key not in reply.last.error
    return reply.last.error


def test_a_remote_server_that_is_away_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert f"127.0.0.1:{port} cannot be reached" in ask_remote(f"http://127.0.0.1:{port}/v1")


def test_remote_errors_are_sentences(base_dir: Path) -> None:
    server = OpenAIServer(open_engine("llama", base_dir, threads=1))
    try:
        assert "refused the key" in ask_remote(server.url, key="sk-wrong")
        assert "does not know this model" in ask_remote(server.url, model="other")
    finally:
        server.close()


@pytest.mark.parametrize(("takes", "asked", "kept"), [("loose", [True, False], True), (False, [True, False], False)])
def test_a_server_is_asked_for_json_as_strictly_as_it_lets_itself_be(
    base_dir: Path, takes: str | bool, asked: list[bool], kept: bool
) -> None:
    server = OpenAIServer(open_engine("llama", base_dir, threads=1))
    server.takes_schemas = takes
    engine = open_engine("remote", server.url, model="base", api_key="sk-test")
    try:
        reply = Listener(engine).ask("Name a colour.", json_schema={"enum": ["blue"]}, max_tokens=6)
        assert [answer_format["json_schema"]["strict"] for answer_format in server.formats] == asked
        assert reply.last.finish_reason in ("stop", "length")
        assert (reply.text == '"blue"') == kept == engine.constrains
    finally:
        engine.close()
        server.close()


def test_remote_speaks_to_llama_cpps_own_server(base_dir: Path) -> None:
    """An implementation that is not ours: streams, counts, continues a prefill, and stops when the client goes."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(base_dir / "model.gguf")
    params.n_ctx, params.cache_ram_mib, params.warmup, params.verbosity = 2048, 0, False, 0
    params.cpuparams.n_threads = 1
    params.api_keys = ["sk-test"]
    server = xllamacpp.Server(params)
    engine = open_engine("remote", f"{server.listening_address}/v1", model="any", api_key="sk-test")
    chat = Listener(engine)
    reply = chat.ask("Count from 1 to 20.", max_tokens=24)
    assert reply.text.startswith("1. 1\n2. 2")
    assert (reply.last.finish_reason, reply.last.completion_tokens) == ("length", 24)
    begun = reply.text[: reply.text.index("3. 3")]
    assert chat.ask("Count from 1 to 20.", prefill=begun, max_tokens=4).text.startswith("3. 3")
    assert chat.ask("Name a colour.", json_schema={"enum": ["blue"]}, max_tokens=9).text.strip() == '"blue"'
    long = chat.submit(STORY, max_tokens=1500)
    assert long.started.wait(60)
    engine.cancel(long.id)
    chat.wait(long)
    assert chat.ask("Hello!", max_tokens=4).last.finish_reason in ("stop", "length")  # its only slot is free again
    engine.close()
