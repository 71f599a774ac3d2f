"""A small OpenAI-compatible server over an engine, with vLLM's route for adapters: what the remote engine talks to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import uuid
from pathlib import Path

import uvicorn

from jobs.ml.config import SamplingParams
from jobs.ml.engines.base import AdapterRef, ContextOverflow, Delta, Engine, Request


class OpenAIServer:
    KEY = "sk-test"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.adapters: set[str] = set()
        self.queues: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Queue[Delta]]] = {}
        self.cancelled: list[str] = []
        self.formats: list[object] = []  # what was asked for as response_format, also when it was refused
        self.takes_schemas: bool | str = True  # False: none; "loose": none that is strict
        threading.Thread(target=self._pump, daemon=True).start()
        self.server = uvicorn.Server(
            uvicorn.Config(self.app, port=0, log_level="error", lifespan="off", ws="none", interface="asgi3")
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}/v1"

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.engine.close()

    def _pump(self) -> None:
        for delta in self.engine.run():
            loop, deltas = self.queues[delta.id]
            loop.call_soon_threadsafe(deltas.put_nowait, delta)

    async def app(self, scope, receive, send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        call = json.loads(body or b"{}")

        async def answer(status: int, payload: object) -> None:
            text = payload if isinstance(payload, str) else json.dumps(payload)
            kind = b"text/plain" if isinstance(payload, str) else b"application/json"
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
            await send({"type": "http.response.body", "body": text.encode()})

        if dict(scope["headers"]).get(b"authorization") != f"Bearer {self.KEY}".encode():
            await answer(401, {"error": {"message": "wrong key"}})
            return
        path = scope["path"].removeprefix("/v1")
        if path == "/models":
            models = [{"id": name, "object": "model"} for name in ("base", *self.adapters)]
            await answer(200, {"object": "list", "data": models})
        elif path == "/load_lora_adapter":
            try:
                self.engine.load(AdapterRef(call["lora_name"], Path(call["lora_path"])))
            except ValueError as error:
                await answer(400, {"error": {"message": str(error)}})
            else:
                self.adapters.add(call["lora_name"])
                await answer(200, "Success: LoRA adapter added successfully.")
        elif path == "/unload_lora_adapter":
            self.adapters.discard(call["lora_name"])
            self.engine.unload(call["lora_name"])
            await answer(200, "Success: LoRA adapter removed successfully.")
        elif call["model"] != "base" and call["model"] not in self.adapters:
            await answer(404, {"error": {"message": f"The model {call['model']} does not exist."}})
        else:
            await self._chat(call, answer, receive, send)

    async def _chat(self, call, answer, receive, send) -> None:
        messages, prefill = call["messages"], ""
        if call.get("continue_final_message"):
            prefill, messages = messages[-1]["content"], messages[:-1]
        names = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "repetition_penalty")
        given = {name: call[name] for name in names if name in call}
        if asked := call.get("response_format"):
            self.formats.append(asked)
            strict = asked["json_schema"]["strict"]
            if not self.takes_schemas or (strict and self.takes_schemas == "loose"):
                await answer(400, {"error": {"message": "response_format is not supported"}})
                return
            given["json_schema"] = asked["json_schema"]["schema"]
        sampling = SamplingParams.from_dict(given)
        adapter = None if call["model"] == "base" else call["model"]
        request = Request(uuid.uuid4().hex, messages, adapter, sampling, prefill)
        deltas: asyncio.Queue[Delta] = asyncio.Queue()
        self.queues[request.id] = (asyncio.get_running_loop(), deltas)
        try:
            self.engine.submit(request)
        except ContextOverflow as error:
            await answer(400, {"error": {"message": str(error), "code": "context_length_exceeded"}})
            return
        gone = asyncio.create_task(self._watch(request.id, receive))
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with contextlib.suppress(OSError):
            await self._stream(request.id, call["model"], deltas, send)
        gone.cancel()

    async def _watch(self, request_id: str, receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.cancelled.append(request_id)
        self.engine.cancel(request_id)

    async def _stream(self, request_id: str, model: str, deltas, send) -> None:
        while True:
            delta = await deltas.get()
            choice = {"index": 0, "delta": {"content": delta.text}, "finish_reason": delta.finish_reason}
            chunk = {"id": request_id, "object": "chat.completion.chunk", "created": 0, "model": model}
            lines = [{**chunk, "choices": [choice]}]
            if delta.finish_reason:
                total = delta.prompt_tokens + delta.completion_tokens
                usage = {"prompt_tokens": delta.prompt_tokens, "completion_tokens": delta.completion_tokens}
                lines.append({**chunk, "choices": [], "usage": {**usage, "total_tokens": total}})
            data = "".join(f"data: {json.dumps(line)}\n\n" for line in lines)
            if delta.finish_reason:
                data += "data: [DONE]\n\n"
            more = not delta.finish_reason
            await send({"type": "http.response.body", "body": data.encode(), "more_body": more})
            if not more:
                return
