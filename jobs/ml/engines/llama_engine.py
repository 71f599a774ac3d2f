"""llama.cpp in this process, through the xllamacpp wheel: the engine of a host without a GPU.

Each adapter gets its own llama.cpp server (the weights are memory-mapped, so they share their pages): within one server
llama.cpp decodes only slots with the same adapter at a time, and the others would stand still. Token ids go in, so
llama.cpp's own templates play no part. It does not know chats or teams, nor files but the model folder and adapters.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs.ml import memory
from jobs.ml.base_model import ModelMissing
from jobs.ml.config import SamplingParams
from jobs.ml.engines.base import AdapterRef, FinishReason
from jobs.ml.engines.constrained import guided
from jobs.ml.engines.hosted import Host, HostFailed, Job, RequestFailed, Say
from jobs.ml.engines.local import LocalEngine, cores
from jobs.ml.engines.text import StopFilter

# Read once, when libgomp is loaded: threads that wait must sleep, or an engine and a trainer starve each other; but not at
# once. Looking for some tens of microseconds first outlasts most waits inside a step: eight streams came at 221 to 274
# tokens/s against 152 to 162 without, and 193 to 247 with libgomp's own several milliseconds, which cost a busy machine dear.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import xllamacpp

from jobs.ml.engines import pace

RANDOM_SEED = 0xFFFFFFFF  # llama.cpp's own mark for "draw one"
BASE_SLOTS, ADAPTERS = 8, 8  # at most: more at a time bring no more tokens on a few cores
MEMORY_SHARE = 5  # the part of the machine's memory that caches may take: one in so many
PROMPT_BATCH = 128  # tokens between two looks at `cancelled` while a prompt is read: 0.3 s on two cores


@dataclass(frozen=True)
class Rooms:
    """How many replies the base makes at a time, how many an adapter, and how many adapters are open at once."""

    base: int
    adapter: int
    adapters: int

    @classmethod
    def within(cls, budget: int, slot: int) -> Rooms:
        """As many as fit into `budget` bytes of cache, if one place takes `slot`: the base gets at most half of it.
        SmolLM2-135M with 4,096 tokens takes 94 MB a place: 4 places and two adapters with 2 on a machine of 4 GB, 8
        places and eight adapters with 4 on one of 24 GB."""
        base = min(max(budget // 2 // slot, 1), BASE_SLOTS)
        adapter = max(base // 2, 1)
        return cls(base, adapter, min(max((budget - base * slot) // (adapter * slot), 1), ADAPTERS))

    @property
    def capacity(self) -> int:
        """More than twice what the base holds would only make each of them slow."""
        return min(self.base + self.adapters * self.adapter, 2 * self.base)


class LlamaEngine(LocalEngine):
    """`context_length` bounds one conversation. How many fit in memory is for `rooms` to say, unless it is given."""

    constrains = True

    def __init__(
        self,
        model_dir: Path,
        *,
        threads: int | None = None,
        context_length: int = 4096,
        rooms: Rooms | None = None,
    ) -> None:
        super().__init__(model_dir, context_length=context_length, capacity=1, hosts=1)
        self._rooms = rooms or Rooms.within(memory.total() // MEMORY_SHARE, self.context_length * self._token_bytes)
        self.capacity, self._hosts = self._rooms.capacity, 1 + self._rooms.adapters
        if not (model_dir / "model.gguf").exists():
            raise ModelMissing(f"The base model {model_dir.name} has no model.gguf. Prepare it again.")
        self._pace = pace.choose(model_dir / "model.gguf", threads or cores())
        self.pace = asdict(self._pace)

    @property
    def _token_bytes(self) -> int:
        """What a token takes in the cache: a key and a value of two bytes in every layer."""
        width = self.config.get("head_dim") or self.config["hidden_size"] // self.config["num_attention_heads"]
        heads = self.config.get("num_key_value_heads") or self.config["num_attention_heads"]
        return int(2 * 2 * self.config["num_hidden_layers"] * heads * width)

    def _slots(self, adapter: AdapterRef | None) -> int:
        return self._rooms.base if adapter is None else self._rooms.adapter

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
    """Our sampling parameters as llama.cpp names them, in the order that transformers and vLLM apply them.

    The last step draws from what the others leave. Without temperature that is one token, and saying so spares the
    exponentials of the whole vocabulary: 0.4 ms of the 6.5 that a token of SmolLM2-135M takes."""
    greedy = sampling.temperature == 0
    return {
        "max_tokens": limit,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": 1 if greedy else sampling.top_k,
        "min_p": 0.0,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": window,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "samplers": ["penalties", "top_k"] if greedy else ["penalties", "temperature", "top_k", "top_p"],
        "seed": RANDOM_SEED if sampling.seed is None else sampling.seed,
        "stream": True,
        "cache_prompt": True,
        "return_progress": True,
        "timings_per_token": True,
    }
