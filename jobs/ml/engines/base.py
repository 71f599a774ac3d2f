"""The one interface every engine answers to, and the small messages it speaks.

Standard library and `jobs.ml.config` only. An engine knows models, adapters and tokens; it does not know teams, chats,
databases or who is listening. One contract suite (tests/ml/test_engine_contract.py) runs against every implementation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from jobs.ml.config import SamplingParams

FinishReason = Literal["stop", "length", "cancelled", "error"]


class ContextOverflow(ValueError):
    """The prompt does not fit: `prompt_tokens` of `limit`. Raised by `submit`, before anything runs."""

    def __init__(self, prompt_tokens: int, limit: int) -> None:
        super().__init__(f"The conversation takes {prompt_tokens} tokens; this model reads at most {limit}.")
        self.prompt_tokens = prompt_tokens
        self.limit = limit


class UnknownAdapter(KeyError):
    """A request names an adapter that is not loaded."""


@dataclass(frozen=True)
class AdapterRef:
    """A trained adapter on disk. `path` is a PEFT folder (adapter_config.json, adapter_model.safetensors,
    and adapter.gguf beside them for llama.cpp)."""

    name: str
    path: Path


@dataclass(frozen=True)
class Request:
    """One reply to make. A schema in `sampling` is followed where the engine `constrains`; whoever asked checks the
    answer in any case. `prefill` is the part of the answer already written: the engine continues it and yields only
    what is new. `adapter` names a loaded adapter, or None for the bare base."""

    id: str
    messages: list[dict[str, str]]
    adapter: str | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    prefill: str = ""


@dataclass(frozen=True)
class Delta:
    """A piece of one reply. `text` always ends at a character boundary. The last delta of a request carries
    `finish_reason` (and `error`, one sentence, if that is "error"); token counts are cumulative."""

    id: str
    text: str = ""
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""


class Engine(Protocol):
    """Many requests in flight at once, over different adapters of one base. `submit`, `cancel`, `load` and `unload` are
    safe from any thread; `run` is consumed by one."""

    context_length: int
    capacity: int  # how many requests make sense in flight at once
    constrains: (
        bool  # decoding keeps to a request's JSON Schema (but for a continued answer); else it is only asked for
    )
    pace: dict[str, Any]  # how it shares out the cores, if it has measured that: threads for `decode` and `batch`

    def submit(self, request: Request) -> None:
        """Queue a request. Raises ContextOverflow or UnknownAdapter at once."""

    def cancel(self, request_id: str) -> None:
        """Stop a request; it ends with finish_reason "cancelled". An unknown id is ignored."""

    def load(self, adapter: AdapterRef) -> None:
        """Make an adapter usable. Loading the same name again is a no-op. Raises ValueError, a sentence, if refused."""

    def unload(self, name: str) -> None:
        """Forget an adapter; requests in flight on it finish first."""

    def run(self) -> Iterator[Delta]:
        """Yield deltas of all requests as they come, until `close`."""

    def close(self) -> None:
        """Cancel what is in flight and release the model."""
