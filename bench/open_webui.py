"""50 chats at once over one fixed-rate upstream: processor time and added delay for each token, against Open WebUI.

    python -m bench.open_webui [--streams 50] [--rate 20] [--seconds 10] [--rounds 2] [--install 600]

Peer: Open WebUI 0.12.4 from PyPI in an environment of its own (about 3 minutes and 3 GB, once; `make bench` goes on
with a line if it cannot be installed), one process as `open-webui serve` runs it, SQLite, no title or tag generation, no
model of its own loaded. Both stacks have the same upstream, and as many people, each with one chat and one socket over
which the tokens come; both are asked in turns. Counted are all processes of each stack: Open WebUI is one; ours are web,
workers, PostgreSQL and Valkey. Every token says when the upstream sent it. Added delay is what the first token takes
beyond the upstream's own tenth of a second, and what each token takes from the upstream's hand to the socket. The promise
is half of the peer's processor time for each token, and half of its added delay.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from bench import Claim, in_turns, options, own_environment, peak_memory, report
from bench._cast import cast
from bench._sockets import TEXT, Socket, connect
from bench._streams import ASKING, Listener, Load, ours, processor_seconds, upstream
from bench._upstream import MODEL, now
from tests.processes import using
from tests.stack import free_port, running

VERSION = "0.12.4"
FIRST = 0.1  # seconds after which the upstream's first token comes
READY_SECONDS = 180
SETTINGS = {
    "ENABLE_OLLAMA_API": "false",
    "OPENAI_API_KEYS": "none",
    "OFFLINE_MODE": "true",
    "HF_HUB_OFFLINE": "1",
    "ENABLE_VERSION_UPDATE_CHECK": "false",
    "BYPASS_MODEL_ACCESS_CONTROL": "true",
    "DEFAULT_USER_ROLE": "user",
    "ENABLE_SIGNUP": "true",
    "RAG_EMBEDDING_ENGINE": "openai",  # so that it loads no embedding model
    "ENABLE_TITLE_GENERATION": "false",
    "ENABLE_TAGS_GENERATION": "false",
    "ENABLE_FOLLOW_UP_GENERATION": "false",
    "ANONYMIZED_TELEMETRY": "false",
    "SCARF_NO_ANALYTICS": "true",
    "WEBUI_SECRET_KEY": "bench",
    "GLOBAL_LOG_LEVEL": "WARNING",
}


class OpenWebUI:
    def __init__(self, port: int, pid: int, people: int) -> None:
        self.port, self.pid = port, pid
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.tokens = [self.sign_up(number) for number in range(people)]
        self.http.get("/api/models", headers=self.key(self.tokens[0])).raise_for_status()

    def sign_up(self, number: int) -> str:
        who = {"name": f"Person {number}", "email": f"person-{number}@example.com", "password": "correct horse battery"}
        answer = self.http.post("/api/v1/auths/signup", json=who)
        answer.raise_for_status()
        if number == 0:  # the first is the administrator, and lets the others in
            key = self.key(answer.json()["token"])
            config = self.http.get("/api/v1/auths/admin/config", headers=key).json()
            config |= {"ENABLE_SIGNUP": True, "DEFAULT_USER_ROLE": "user"}
            self.http.post("/api/v1/auths/admin/config", headers=key, json=config).raise_for_status()
        return str(answer.json()["token"])

    def key(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    async def stream(self, tokens: int, patience: float) -> Load:
        """What `ours` does, as the page of Open WebUI does it: ask over HTTP, hear over socket.io."""
        load, over, greeted = Load(), asyncio.Event(), asyncio.Event()
        listeners = {token: Listener(load) for token in self.tokens}
        sids: dict[str, str] = {}

        def hear(token: str, socket: Socket, text: str) -> None:
            if text == "2":
                socket.write(TEXT, b"3")
            elif text.startswith("0"):
                socket.write(TEXT, b"40" + json.dumps({"token": token}).encode())
            elif text.startswith("40"):
                sids[token] = json.loads(text[2:])["sid"]
                if len(sids) == len(self.tokens):
                    greeted.set()
            elif text.startswith('42["events",'):
                event = json.loads(text[2:])[1]["data"]
                data: dict[str, Any] = event.get("data") or {}
                if event["type"] == "response:completion" and str(data.get("type")).endswith("output_text.delta"):
                    listeners[token].text(data["delta"])
                elif data.get("error"):
                    raise SystemExit(text)
                elif data.get("done"):
                    load.ended += 1
                    if load.ended == len(self.tokens):
                        over.set()

        path = "/ws/socket.io/?EIO=4&transport=websocket"
        sockets = [await connect(self.port, path, partial(hear, token)) for token in self.tokens]
        await asyncio.wait_for(greeted.wait(), patience)
        await asyncio.sleep(1.0)
        before, began = processor_seconds([self.pid]), time.monotonic()
        asking = []
        limits = httpx.Limits(max_connections=len(sockets))
        async with httpx.AsyncClient(base_url=self.http.base_url, timeout=patience, limits=limits) as client:
            for number, (token, listener) in enumerate(listeners.items()):
                await asyncio.sleep(max(0.0, began + number / ASKING - time.monotonic()))
                listener.asked = now()
                asking.append(asyncio.create_task(self.ask(client, token, sids[token])))
            try:
                await asyncio.wait_for(over.wait(), patience)
            finally:
                load.seconds, load.processor = time.monotonic() - began, processor_seconds([self.pid]) - before
                for socket in sockets:
                    socket.transport.close()
            await asyncio.gather(*asking)
        if wrong := [listener.heard for listener in listeners.values() if listener.heard != tokens]:
            raise SystemExit(f"{len(wrong)} streams of Open WebUI came to other than {tokens} tokens: {wrong[:5]}.")
        return load

    async def ask(self, client: httpx.AsyncClient, token: str, sid: str) -> None:
        """A new chat, saved, as its page asks for one."""
        said, answer = str(uuid4()), str(uuid4())
        message = {"id": said, "parentId": None, "childrenIds": [answer], "role": "user", "content": "Go on."}
        body = {
            "model": MODEL, "stream": True, "messages": [{"role": "user", "content": "Go on."}], "session_id": sid,
            "parent_id": None, "user_message": {**message, "timestamp": int(time.time()), "models": [MODEL]},
            "message_ids": [{"model_id": MODEL, "message_id": answer}], "background_tasks": {}, "params": {},
        }  # fmt: skip
        done = await client.post("/api/chat/completions", json=body, headers=self.key(token))
        if done.status_code != 200:
            raise SystemExit(f"Open WebUI refused a question: {done.text[:500]}")


@contextmanager
def open_webui(python: Path, upstream_port: int, people: int) -> Iterator[OpenWebUI]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="open-webui-") as data:
        log = Path(data) / "log"
        url = {"OPENAI_API_BASE_URLS": f"http://127.0.0.1:{upstream_port}/v1", "DATA_DIR": data}
        with log.open("w") as out:
            process = subprocess.Popen(
                [python.parent / "open-webui", "serve", "--host", "127.0.0.1", "--port", str(port)],
                cwd=data, env={"PATH": os.environ["PATH"], "HOME": data, **SETTINGS, **url}, stdout=out, stderr=out,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + READY_SECONDS
            while True:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200:
                        break
                except httpx.HTTPError:
                    pass
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"Open WebUI did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.5)
            yield OpenWebUI(port, process.pid, people)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def installed() -> Path | None:
    """The peer's Python; None, with a line, where it cannot be installed."""
    print(f"Open WebUI {VERSION} (the first time it is installed, which takes about 3 minutes)", flush=True)
    began = time.monotonic()
    try:
        # This torch is the build without CUDA, which spares several GB; the peer does not use it here.
        python = own_environment("open-webui", f"open-webui=={VERSION}", "torch==2.13.0")
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"Open WebUI could not be installed ({error}), so there is no comparison.")
        return None
    print(f"Ready after {time.monotonic() - began:.0f} s.", flush=True)
    return python


def main() -> int:
    given = options(__doc__, streams=50, rate=20.0, seconds=10.0, rounds=2)
    python = installed()
    if python is None:
        return 0
    tokens, patience = round(given.rate * given.seconds), 6 * given.seconds + 60
    with (
        upstream(given.rate, tokens, FIRST) as port,
        running() as stack,
        open_webui(python, port, given.streams) as peer,
    ):
        people = cast(
            stack, people=given.streams, teams=max(1, given.streams // 10), upstream=f"http://127.0.0.1:{port}/v1"
        )
        pids = list(using(stack.home))

        def we() -> Load:
            return asyncio.run(ours(stack.port, people, tokens, pids, patience))

        def they() -> Load:
            return asyncio.run(peer.stream(tokens, patience))

        we(), they()  # warm-up
        mine, theirs = in_turns(we, they, given.rounds)
        memory = {"ours": {pid: peak_memory(pid) for pid in pids}, "peer": peak_memory(peer.pid)}
    name = f"Open WebUI {VERSION}"
    claims = [
        Claim("processor time for each token", "ms", [load.processor_per_token for load in mine],
              name, [load.processor_per_token for load in theirs], at_most=0.5),
        Claim("first token beyond the upstream's own", "ms", [load.first_beyond(FIRST) for load in mine],
              name, [load.first_beyond(FIRST) for load in theirs], at_most=0.5),
        Claim("delay of a token, median", "ms", [load.delay(50) for load in mine],
              name, [load.delay(50) for load in theirs], at_most=0.5),
        Claim("delay of a token, 99th percentile", "ms", [load.delay(99) for load in mine],
              name, [load.delay(99) for load in theirs], at_most=0.5),
    ]  # fmt: skip
    facts = {
        "streams": given.streams, "rate": given.rate, "peer": VERSION, "peak_memory": memory,
        "ours": [load.summary() for load in mine], "theirs": [load.summary() for load in theirs],
    }  # fmt: skip
    report(claims, facts, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
