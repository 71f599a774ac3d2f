"""llama.cpp in this process, through the xllamacpp wheel: the engine of a host without a GPU.

Each adapter gets its own llama.cpp server (the weights are memory-mapped, so they share their pages): within one server
llama.cpp decodes only slots with the same adapter at a time, and the others would stand still. Token ids go in, so
llama.cpp's own templates play no part. It does not know chats or teams, nor files but the model folder and adapters.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.ml.base_model import ModelMissing
from jobs.ml.config import SamplingParams
from jobs.ml.engines.base import AdapterRef, FinishReason
from jobs.ml.engines.constrained import guided
from jobs.ml.engines.hosted import Host, HostFailed, Job, RequestFailed, Say
from jobs.ml.engines.local import LocalEngine, cores
from jobs.ml.engines.text import StopFilter

# Read once, when libgomp is loaded: threads that wait must sleep, or an engine and a trainer starve each other; but not at
# once. Looking for some 20 microseconds first outlasts most waits inside a step: eight streams came at 221 to 274 tokens/s
# against 152 to 162 without, and 193 to 247 with libgomp's own several milliseconds, which a busy machine pays dearly.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import xllamacpp

from jobs.ml.engines import pace

RANDOM_SEED = 0xFFFFFFFF  # llama.cpp's own mark for "draw one"
PROMPT_BATCH = 128  # tokens between two looks at `cancelled` while a prompt is read: 0.3 s on two cores


class LlamaEngine(LocalEngine):
    """`context_length` bounds one conversation; `slots` is how many the base answers at a time, and an adapter half as
    many. With `hosts` they bound the memory (SmolLM2-135M: 23 KB a token, so 380 MB for the base and 190 MB for each of
    two adapters)."""

    constrains = True

    def __init__(
        self,
        model_dir: Path,
        *,
        threads: int | None = None,
        context_length: int = 4096,
        slots: int = 8,
        hosts: int = 3,
    ) -> None:
        self._base_slots = slots
        capacity = slots + (hosts - 1) * self._slots_of_an_adapter
        super().__init__(model_dir, context_length=context_length, capacity=capacity, hosts=hosts)
        if not (model_dir / "model.gguf").exists():
            raise ModelMissing(f"The base model {model_dir.name} has no model.gguf. Prepare it again.")
        self._pace = pace.choose(model_dir / "model.gguf", threads or cores())
        self.pace = asdict(self._pace)

    @property
    def _slots_of_an_adapter(self) -> int:
        return max(1, self._base_slots // 2)

    def _slots(self, adapter: AdapterRef | None) -> int:
        return self._base_slots if adapter is None else self._slots_of_an_adapter

    def _check(self, adapter: AdapterRef) -> None:
        super()._check(adapter)
        if not (adapter.path / "adapter.gguf").exists():
            raise ValueError(f"The adapter {adapter.name} is not whole: adapter.gguf is missing.")

    def _open(self, adapter: AdapterRef | None) -> Host:
        params = xllamacpp.CommonParams()
        params.model.path = str(self.model_dir / "model.gguf")
        params.n_parallel = self._slots(adapter)
        params.n_ctx = params.n_parallel * self.context_length
        params.kv_unified = False  # in a shared cache a reply's rounding, so its words, depend on its neighbours
        params.n_batch = params.n_ubatch = PROMPT_BATCH
        params.cpuparams.n_threads, params.cpuparams_batch.n_threads = self._pace.decode, self._pace.batch
        params.cpuparams.poll = params.cpuparams_batch.poll = 0
        params.cache_ram_mib = 0
        params.fit_params = False
        params.warmup = False
        params.verbosity = 0
        params.n_threads_http = 1
        params.api_keys = [secrets.token_urlsafe(32)]  # the wheel opens a local port as well; nobody else may use it
        if adapter is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter.path / "adapter.gguf"), 1.0)]
        try:
            return LlamaHost(xllamacpp.Server(params))
        except RuntimeError as error:
            what = f"the adapter {adapter.name}" if adapter else f"the base model {self.model_dir.name}"
            raise HostFailed(f"llama.cpp could not open {what}: the file is damaged or memory is short.") from error


class LlamaHost(Host):
    def __init__(self, server: xllamacpp.Server) -> None:
        self._server: xllamacpp.Server | None = server

    def generate(self, job: Job, say: Say) -> FinishReason:
        reason: FinishReason = "error"
        failure = ""
        text = StopFilter(job.request.sampling.stop)  # llama.cpp's own loses what it holds back when the limit comes

        def receive(chunk: dict[str, Any]) -> bool:
            """One step of llama.cpp's: a token, a piece of the prompt read, or an error. True stops the generation."""
            nonlocal reason, failure
            if "choices" not in chunk:
                failure = str((chunk.get("error") or chunk).get("message", "unknown error"))
                return True
            job.completion_tokens = chunk.get("timings", {}).get("predicted_n", job.completion_tokens)
            choice = chunk["choices"][0]
            say(text.add(choice["text"]))
            if text.stopped:
                reason = "stop"
            elif choice["finish_reason"]:
                reason = choice["finish_reason"]
                say(text.rest())
            return text.stopped or job.cancelled

        if self._server is None:
            raise HostFailed("The model was closed while it was answering. Try again.")
        call = {"prompt": job.prompt, **options(job.request.sampling, job.limit, job.budget)}
        schema = job.request.sampling.json_schema
        if schema is not None and not job.request.prefill:  # llguidance, in llama.cpp too, starts at the beginning
            call["json_schema"] = guided(schema)
        self._server.handle_completions(call, receive)
        if failure:
            raise RequestFailed(f"llama.cpp could not answer: {failure}")
        return reason

    def close(self) -> None:
        self._server = None


def options(sampling: SamplingParams, limit: int, window: int) -> dict[str, Any]:
    """Our sampling parameters as llama.cpp names them, in the order that transformers and vLLM apply them."""
    return {
        "max_tokens": limit,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": 0.0,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": window,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "samplers": ["penalties", "temperature", "top_k", "top_p"],
        "seed": RANDOM_SEED if sampling.seed is None else sampling.seed,
        "stream": True,
        "cache_prompt": True,
        "return_progress": True,
        "timings_per_token": True,
    }
