"""Any OpenAI-compatible server by its URL (vLLM, SGLang, llama-server, hosted), through the official client.

Adapters are model names there; vLLM is asked to load them from their folder. The server applies its own template and
counts its own tokens, so a conversation that is too long comes back as an error of the reply rather than from `submit`.
Who may name a URL, and where keys are kept, is the caller's business.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import openai

from jobs.ml.config import SamplingParams
from jobs.ml.engines.base import AdapterRef, FinishReason, Request
from jobs.ml.engines.hosted import Host, HostedEngine, Job, RequestFailed, Say

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10
SILENCE_SECONDS = 120  # between two pieces of an answer, or before the first: a long prompt takes its time

try:  # comes with uvicorn where it runs: the client reads each token with its own wait, a third of the time cheaper here
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]

T = TypeVar("T")


class RemoteEngine(HostedEngine):
    """`capacity` is vLLM's own default: the server batches and queues, and whoever waits here waits for nothing."""

    constrains = True  # until the server refuses a schema

    def __init__(
        self, base_url: str, model: str, *, api_key: str = "", context_length: int = 8192, capacity: int = 256
    ) -> None:
        super().__init__(context_length=context_length, capacity=capacity, hosts=sys.maxsize)
        self.model = model
        self.where = urlsplit(base_url).netloc
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",  # the client insists on one; servers without keys ignore it
            timeout=openai.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            max_retries=1,
        )
        self._loaded: set[str] = set()
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote-engine", daemon=True)
        self._thread.start()

    def later(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` on the engine's own event loop, where it can be cancelled in mid-wait."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        super().close()
        if self._thread.is_alive():
            self.later(self._client.close()).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _read(self, request: Request, adapter: AdapterRef | None) -> Job:
        return Job(request, adapter, prompt=[], limit=request.sampling.max_tokens, prompt_tokens=0)

    def _open(self, adapter: AdapterRef | None) -> Host:
        return RemoteHost(self, self._client, adapter.name if adapter else self.model)

    def _check(self, adapter: AdapterRef) -> None:
        try:
            self.later(self._bring(adapter)).result()
        except openai.OpenAIError as error:
            raise ValueError(f"The adapter {adapter.name} could not be loaded. {explain(error, self.where)}") from error

    async def _bring(self, adapter: AdapterRef) -> None:
        """Make sure that the server has a model of this name: it may know it already, or load it (vLLM's route)."""
        if adapter.name in {model.id async for model in self._client.models.list()}:
            return
        body = {"lora_name": adapter.name, "lora_path": str(adapter.path)}
        await self._client.post("/load_lora_adapter", cast_to=str, body=body)
        self._loaded.add(adapter.name)

    def _forget(self, adapter: AdapterRef) -> None:
        if adapter.name in self._loaded:
            self._loaded.remove(adapter.name)
            # Best effort: a server that is gone has nothing to unload.
            self.later(self._client.post("/unload_lora_adapter", cast_to=str, body={"lora_name": adapter.name}))


class RemoteHost(Host):
    def __init__(self, engine: RemoteEngine, client: openai.AsyncOpenAI, model: str) -> None:
        self._engine = engine
        self._client = client
        self._model = model
        self._replies: dict[Job, Future[FinishReason]] = {}

    def generate(self, job: Job, say: Say) -> FinishReason:
        reply = self._replies[job] = self._engine.later(self._stream(job, say))
        try:
            if job.cancelled:
                reply.cancel()
            return reply.result()
        except CancelledError:
            return "cancelled"
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise RequestFailed(explain(error, self._engine.where)) from error
        finally:
            del self._replies[job]

    def interrupt(self, job: Job) -> None:
        if (reply := self._replies.get(job)) is not None:
            reply.cancel()  # closes the connection, which is how such a server learns of it

    async def _stream(self, job: Job, say: Say) -> FinishReason:
        reason: FinishReason | None = None
        async with await self._ask(job.request) as answer:
            async for chunk in chunks(answer):
                for choice in chunk.get("choices") or ():
                    job.completion_tokens += 1
                    say((choice["delta"].get("content") or "").replace("\ufffd", ""))
                    if choice.get("finish_reason"):
                        reason = "length" if choice["finish_reason"] == "length" else "stop"
                if usage := chunk.get("usage"):
                    job.prompt_tokens = usage["prompt_tokens"]
                    job.completion_tokens = usage["completion_tokens"]
        if reason is None:
            raise RequestFailed(f"The server {self._engine.where} broke off in the middle of the answer. Try again.")
        return reason

    async def _ask(self, request: Request) -> Any:
        """The server's stream. A schema is sent as strict as the server takes it; a server that takes none is asked
        without."""
        call: dict[str, Any] = {
            "model": self._model,
            **body(request),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        refusal: Exception | None = None
        for answer_format in formats(request):
            try:
                stream = await self._client.chat.completions.create(**{**call, "response_format": answer_format})
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                refusal = error
            else:
                self._engine.constrains = True
                return stream
        stream = await self._client.chat.completions.create(**call)  # raises what is wrong apart from the schema
        if refusal is not None:
            self._engine.constrains = False
            log.info("The server %s takes no JSON Schema: %s", self._engine.where, _said(refusal))
        return stream


async def chunks(answer: Any) -> AsyncIterator[dict[str, Any]]:
    """What the server streams, as plain dictionaries: building the client's typed objects takes as long as all else that
    is done with a token here (0.06 of 0.17 ms)."""
    rest = b""
    async for data in answer.response.aiter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:") or (body := line[5:].strip()) == b"[DONE]":
                continue
            chunk = json.loads(body)
            if error := chunk.get("error"):
                said = error.get("message") if isinstance(error, dict) else error
                raise RequestFailed(f"The server broke off: {str(said)[:300]}")
            yield chunk


def formats(request: Request) -> list[dict[str, Any]]:
    """Ways to ask for JSON by the request's schema, the one that binds most first. Strict is a subset of JSON Schema
    with OpenAI; vLLM and llama-server constrain in either case. A continued answer cannot begin at the beginning."""
    schema = request.sampling.json_schema
    if schema is None or request.prefill:
        return []
    named = {"name": "answer", "schema": schema}
    return [{"type": "json_schema", "json_schema": {**named, "strict": strict}} for strict in (True, False)]


def body(request: Request) -> dict[str, Any]:
    """The request in OpenAI's words. What OpenAI's own servers would refuse goes along only where it is asked for."""
    sampling: SamplingParams = request.sampling
    messages: list[dict[str, str]] = list(request.messages)
    extra: dict[str, Any] = {}
    if request.prefill:
        messages.append({"role": "assistant", "content": request.prefill})
        extra |= {"continue_final_message": True, "add_generation_prompt": False}
    if sampling.top_k:
        extra["top_k"] = sampling.top_k
    if sampling.repetition_penalty != 1:
        extra |= {"repetition_penalty": sampling.repetition_penalty, "repeat_penalty": sampling.repetition_penalty}
    call: dict[str, Any] = {
        "messages": messages,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
    }
    if sampling.stop:
        call["stop"] = list(sampling.stop)
    if sampling.seed is not None:
        call["seed"] = sampling.seed
    return {**call, "extra_body": extra} if extra else call


def explain(error: Exception, where: str) -> str:
    """What went wrong, for a person."""
    match error:
        case openai.APITimeoutError() | httpx2.TimeoutException():
            return f"The server {where} did not answer in time. It may be overloaded; try again later."
        case openai.APIConnectionError() | httpx2.HTTPError():
            return f"The server {where} cannot be reached. Check that it runs and that its address is right."
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return f"The server {where} refused the key. An administrator can change it where the model is registered."
        case openai.NotFoundError():
            return f"The server {where} does not know this model: {_said(error)}"
        case openai.RateLimitError():
            return f"The server {where} takes no more requests at the moment. Try again in a minute."
        case openai.APIStatusError() if error.status_code < 500:
            return f"The server {where} refused the request: {_said(error)}"
        case openai.APIStatusError():
            return f"The server {where} failed ({error.status_code}). Try again."
    return f"The server {where} sent an answer that cannot be read: {_said(error)}"


def _said(error: Exception) -> str:
    detail = error.body if isinstance(error, openai.APIError) else None
    message = detail.get("message") if isinstance(detail, dict) else None
    return str(message or error)[:300]
