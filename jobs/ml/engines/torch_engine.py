"""transformers with continuous batching: the engine of a host with a GPU, and the reference for correctness.

All adapters answer in one running batch, each token by its own (routing.py); requests join and leave it. Greedy output
is that of plain `generate` with PEFT, token for token. Keeping to a JSON Schema costs 0.2 ms a token: eight replies at a
time come at 0.98 of their speed without (62 tokens/s; SmolLM2-135M, two cores, an object of strings, median of nine
pairs in one run). It does not know chats, teams or files other than the model folder and the adapters.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

# Read once, when libgomp is loaded: threads that wait must sleep, or an engine and a trainer starve each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig, LogitsProcessorList
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList
from transformers.utils import logging
from transformers.utils.import_utils import is_flash_attn_2_available

from jobs.ml import base_model
from jobs.ml.engines.base import AdapterRef, FinishReason
from jobs.ml.engines.constrained import Answer, Schemas
from jobs.ml.engines.drawing import Draw, generator_for
from jobs.ml.engines.hosted import Host, HostFailed, Job, RequestFailed, Say
from jobs.ml.engines.local import LocalEngine, cores
from jobs.ml.engines.routing import Routing, Weights, read
from jobs.ml.engines.text import Decoder, StopFilter
from jobs.ml.template import ChatTemplate

KEPT = 16  # adapters that stay in memory when no reply uses them
PAGE = 32  # tokens of one piece of the cache
CUDA_SHARE = 0.75  # of the free memory, for the cache


class TorchEngine(LocalEngine):
    def __init__(
        self,
        model_dir: Path,
        *,
        threads: int | None = None,
        context_length: int | None = None,
        device: str | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.set_num_threads(threads or cores())
        base_model.check(model_dir)
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model: Any = AutoModelForCausalLM.from_pretrained(
            model_dir,
            dtype="auto"
            if self.device.type == "cuda"
            else torch.float32,  # exact, so neighbours do not change the words
            attn_implementation="sdpa",
            local_files_only=True,
            use_safetensors=True,
        )
        self._base = model.to(self.device).eval()
        if self.device.type == "cuda":
            capacity, self._step_tokens, context = 64, 4096, 32_768
            cache_tokens = int(torch.cuda.mem_get_info(self.device)[0] * CUDA_SHARE) // _bytes_per_token(model)
            cache_tokens = min(cache_tokens, capacity * context)
        else:
            capacity, self._step_tokens, context = 8, 128, 4096
            cache_tokens = 4 * context
        super().__init__(
            model_dir,
            context_length=min(context_length or context, cache_tokens),
            capacity=capacity,
            hosts=1,
            cache_tokens=cache_tokens,
        )
        self._shelf = Shelf(self._base, KEPT)
        self._ends = _ends(model, self.template)
        self._schemas: Schemas | None = None
        with contextlib.suppress(ValueError):  # a kind of tokenizer that llguidance cannot read
            self._schemas = Schemas(self.template.tokenizer, self._ends)
        self.constrains = self._schemas is not None

    def _home(self, adapter: AdapterRef | None) -> AdapterRef | None:
        return None  # one host answers for the base and all adapters

    def _forget(self, adapter: AdapterRef) -> None:
        self._shelf.pop(adapter)

    def _open(self, adapter: AdapterRef | None) -> Host:
        blocks = -(-self._cache_tokens // PAGE) + self.capacity  # each request may leave a page half used
        config = ContinuousBatchingConfig(
            page_size=PAGE,
            num_blocks=blocks,
            max_batch_tokens=self._step_tokens,
            max_requests_per_batch=self.capacity,
            max_blocks_per_request=0,
            use_cuda_graph=False,  # drawing and routing look at each step's requests; a graph replays the same step
            use_async_batching=False,  # sampling looks at the tokens so far, so a step must know the one before
            auto_switch_to_flash=self.device.type == "cuda" and is_flash_attn_2_available(),
        )
        routing = Routing(self._base, KEPT)
        return TorchHost(self._base, self.template, config, self._ends, self._schemas, routing, self._shelf)


class Shelf:
    """Adapters read into memory, at most so many: what a conversation used last stays for its next turn."""

    def __init__(self, model: Any, most: int) -> None:
        self._model, self._most = model, most
        self._vocabulary = model.get_input_embeddings().num_embeddings
        self._marks = itertools.cycle(range(1, 2**31 // self._vocabulary))
        self._lock = threading.Lock()
        self._kept: OrderedDict[AdapterRef, Weights] = OrderedDict()
        model.get_input_embeddings().register_forward_pre_hook(lambda layer, ids: (ids[0] % self._vocabulary,))

    def take(self, adapter: AdapterRef) -> Weights:
        """Raises RequestFailed if the files cannot be read."""
        with self._lock:
            try:
                if adapter not in self._kept:
                    self._kept[adapter] = read(adapter.path, next(self._marks), self._model.device, self._model.dtype)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                raise RequestFailed(f"The adapter {adapter.name} cannot be read: its files are damaged.") from error
            self._kept.move_to_end(adapter)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return self._kept[adapter]

    def pop(self, adapter: AdapterRef) -> None:
        with self._lock:
            self._kept.pop(adapter, None)

    def marked(self, prompt: list[int], weights: Weights | None) -> list[int]:
        """The prompt with its adapter's number in the first token (the embedding takes it out again): the manager
        finds a prefix in its cache by its tokens alone, and keys of another adapter are other keys."""
        return prompt if weights is None else [prompt[0] + weights.mark * self._vocabulary, *prompt[1:]]


class Steps(ContinuousBatchingLogitsProcessorList):
    """The manager's list of processors: draws, and is told the requests of each step before it is computed."""

    def __init__(self, routing: Routing) -> None:
        super().__init__(LogitsProcessorList([Draw()]))
        self.tensors_required = 1
        self.supported_keys["adapter"] = Weights
        self._routing = routing

    def prepare_tensor_args(self, requests_in_batch: list[Any], arg_storage: torch.Tensor) -> torch.Tensor:
        self._routing.route(
            [(one.state.logit_processor_kwargs.get("adapter"), one.query_length) for one in requests_in_batch]
        )
        return super().prepare_tensor_args(requests_in_batch, arg_storage)


def _ends(model: Any, template: ChatTemplate) -> set[int]:
    """The tokens that end a reply."""
    ends = model.generation_config.eos_token_id
    return {template.eos_id, *(ends if isinstance(ends, list) else [ends] if ends is not None else [])}


def _bytes_per_token(model: Any) -> int:
    """What one token takes in the cache: a key and a value in every layer."""
    config = model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * config.num_key_value_heads * width * model.dtype.itemsize)


class TorchHost(Host):
    """One batching manager. A thread of ours hands its outputs to the requests that wait for them."""

    def __init__(
        self,
        model: Any,
        template: ChatTemplate,
        config: ContinuousBatchingConfig,
        ends: set[int],
        schemas: Schemas | None,
        routing: Routing,
        shelf: Shelf,
    ) -> None:
        self._template = template
        self._device = model.device
        self._ends = ends
        self._schemas = schemas
        self._shelf = shelf
        greedy = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False, eos_token_id=sorted(self._ends), pad_token_id=template.eos_id
        )
        self._manager = model.init_continuous_batching(greedy, config)
        self._manager.logit_processor = Steps(routing)
        self._keys = itertools.count()
        self._outputs: dict[str, queue.SimpleQueue[Any]] = {}
        self._jobs: dict[Job, str] = {}
        self._manager.start()
        self._router = threading.Thread(target=self._route, name="replies", daemon=True)
        self._router.start()

    def generate(self, job: Job, say: Say) -> FinishReason:
        weights = self._shelf.take(job.adapter) if job.adapter else None
        key = str(next(self._keys))
        outputs = self._outputs[key] = queue.SimpleQueue()
        self._jobs[job] = key
        sampling = job.request.sampling
        decoder, text = Decoder(self._template.tokenizer), StopFilter(sampling.stop)
        try:
            accepted = self._manager.add_request(
                self._shelf.marked(job.prompt, weights),
                request_id=key,
                max_new_tokens=job.limit,
                streaming=True,
                sampling=sampling,
                generator=generator_for(self._device, sampling.seed),
                prompt=job.prompt,
                **self._constraint(job),
                **({} if weights is None else {"adapter": weights}),
            )
            if accepted is None or not self._router.is_alive():
                raise HostFailed("The model has stopped. Try again.")
            while not job.cancelled and (output := outputs.get()) is not None:
                if output.error:
                    raise HostFailed(f"The model failed while answering: {output.error}")
                for token in output.generated_tokens[job.completion_tokens :]:
                    job.completion_tokens += 1
                    say(text.add(decoder.add(token)))
                    if text.stopped:
                        return "stop"
                if output.is_finished():
                    say(text.rest())
                    return "stop" if output.generated_tokens[-1] in self._ends else "length"
            if job.cancelled:
                return "cancelled"
            raise HostFailed("The model stopped while it was answering. Try again.")
        finally:
            self._manager.cancel_request(key)  # harmless where it has ended by itself
            del self._outputs[key], self._jobs[job]

    def _constraint(self, job: Job) -> dict[str, Answer]:
        schema = job.request.sampling.json_schema
        if schema is None or self._schemas is None or job.request.prefill:  # llguidance starts at the beginning
            return {}
        answer = self._schemas.begin(schema)
        return {} if answer is None else {"answer": answer}

    def interrupt(self, job: Job) -> None:
        key = self._jobs.get(job)
        outputs = self._outputs.get(key) if key is not None else None
        if outputs is not None:
            outputs.put(None)

    def close(self) -> None:
        self._manager.stop(hard_stop=True)
        self._router.join()

    def _route(self) -> None:
        for output in self._manager:
            if (outputs := self._outputs.get(output.request_id)) is not None:
                outputs.put(output)
        for outputs in list(self._outputs.values()):  # the manager has ended: nobody may wait for ever
            outputs.put(None)
