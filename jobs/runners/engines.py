"""The engines that an infer worker holds: one berth per base model, opened on demand, the least used leaving first.

Opening a model, checking an adapter and reading a prompt take their time, so each berth does that in threads of its
own, and nobody else waits. It does not know how replies are stored, nor who asked.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from uuid import UUID

from django.conf import settings

from jobs.ml.base_model import ModelMissing, describe
from jobs.ml.config import SamplingParams
from jobs.ml.engines.base import AdapterRef, ContextOverflow, Delta, Engine, Request
from jobs.ml.engines.open import choose, open_engine
from jobs.models import Adapter, Cause, Generation, LanguageModel
from jobs.runners.artefacts import is_whole

log = logging.getLogger(__name__)

OPEN_AT_MOST = 2  # local bases
CLOSED = "The model was closed while it was answering. What it had written is kept; continue from there."
SOURCE = ("folder", "weights_sha256", "url", "url_model", "url_key")  # what an engine is opened from
CLOSE_SECONDS = 10.0
BEFORE_OPEN = 4  # replies to take on while it is not yet known how many a base can hold


@dataclass(frozen=True)
class Ending:
    """How a reply ended. `cause` is empty unless it failed."""

    finish_reason: str
    cause: str = ""
    message: str = ""


class Unavailable(Exception):
    """This reply cannot be made here; the message says why, and what to do."""

    def __init__(self, message: str, cause: Cause = Cause.MODEL_MISSING, finish_reason: str = "error") -> None:
        super().__init__(message)
        self.ending = Ending(finish_reason, cause, message)


@dataclass(eq=False)
class Reply:
    """One reply in flight. Engine threads add `pieces` and set what follows; the runner takes them away."""

    generation: Generation
    adapter: Adapter | None
    berth: Berth
    began: float = field(default_factory=time.monotonic)
    pieces: deque[str] = field(default_factory=deque)
    first_token: float | None = None
    ending: Ending | None = None
    cancelled: bool = False
    speaks_at: float = 0.0  # before then its pieces wait for each other

    @property
    def id(self) -> str:
        return str(self.generation.pk)

    def end(self, ending: Ending) -> None:
        self.ending = self.ending or ending


class Berth:
    """Room for one base model: its engine, once it is open, and the replies it is making."""

    def __init__(self, model: LanguageModel, stir: Callable[[], None]) -> None:
        self.model, self.stir = model, stir
        self.replies: dict[str, Reply] = {}
        self.kind = "remote" if model.kind == LanguageModel.Kind.REMOTE else ""
        self.used_at = time.monotonic()
        self.engine: Engine | None = None
        self.closed = False
        self.quiet_until = 0.0  # before then the pieces of all replies wait for each other
        self._gone = Ending("error", Cause.ERROR, CLOSED)
        self._trusted: set[UUID] = set()  # adapters whose files have been checked
        self._starting: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        self._starter = threading.Thread(target=self._start_replies, name=f"start {model.key}", daemon=True)
        self._starter.start()

    @property
    def capacity(self) -> int:
        return self.engine.capacity if self.engine else BEFORE_OPEN

    @property
    def free(self) -> int:
        return 0 if self.closed else self.capacity - len(self.replies)

    def begin(self, generation: Generation) -> Reply:
        self.used_at = time.monotonic()
        reply = self.replies[str(generation.pk)] = Reply(generation, generation.adapter, self)
        self._starting.put(reply)
        return reply

    def cancel(self, reply: Reply) -> None:
        reply.cancelled = True
        if self.engine:
            self.engine.cancel(reply.id)

    def close(self) -> None:
        self.closed = True
        self._starting.put(None)

    def wait(self, seconds: float) -> None:
        self._starter.join(seconds)

    def _start_replies(self) -> None:
        """In the first thread: open the engine, hand it one reply after the other, in the end close it."""
        try:
            engine = self.engine = self._open()
            threading.Thread(target=self._listen, args=(engine,), name=f"hear {self.model.key}", daemon=True).start()
        except Unavailable as error:
            self._gone, self.closed = error.ending, True
        self.stir()
        while (reply := self._starting.get()) is not None:
            if self.engine and not self.closed:
                self._start(self.engine, reply)
            else:
                reply.end(self._gone)
            if reply.ending:
                self.stir()
        if self.engine:
            self.engine.close()

    def _open(self) -> Engine:
        model = self.model
        try:
            if model.kind == LanguageModel.Kind.REMOTE:
                key, limit = model.secret(), model.context_length
                return open_engine("remote", model.url, model=model.url_model, api_key=key, context_length=limit)
            describe(model.path)
            self.kind = choose(model.path) if settings.STUDIO_ENGINE == "auto" else settings.STUDIO_ENGINE
            kind = cast(Literal["llama", "transformers"], self.kind)
            return open_engine(kind, model.path, threads=settings.STUDIO_INFER_THREADS or None)
        except ModelMissing as error:
            log.warning("%s", error)
            message = f"The files of {model.name} are missing on the chat worker, or not whole. Choose another model, "
            raise Unavailable(f"{message}or restart the studio, which prepares its own.") from error
        except MemoryError as error:
            message = f"{model.name} does not fit into the chat worker's memory. Choose a smaller model."
            raise Unavailable(message, Cause.OOM) from error
        except ValueError as error:  # a sentence for people, such as a key that cannot be read any more
            raise Unavailable(str(error)) from error
        except Exception as error:  # the libraries' boundary: they raise anything, and the reply must end
            log.exception("The model %s could not be opened", model.key)
            message = f"{model.name} could not be opened. The chat worker's log has the details; choose another model."
            raise Unavailable(message, Cause.ERROR) from error

    def _start(self, engine: Engine, reply: Reply) -> None:
        generation = reply.generation
        try:
            adapter = self._load(engine, reply.adapter) if generation.adapter_id else None
            if not reply.cancelled:
                sampling = SamplingParams.from_dict(generation.params)
                engine.submit(Request(reply.id, generation.messages, adapter, sampling, generation.prefill))
            if reply.cancelled:  # before or while it was submitted
                engine.cancel(reply.id)
                reply.end(Ending("cancelled", Cause.CANCELLED))
        except Unavailable as error:
            reply.end(error.ending)
        except ContextOverflow as error:
            message = f"{error} Leave out the oldest turns, or start a new chat."
            reply.end(Ending("context_overflow", Cause.BAD_DATA, message))
        except ValueError as error:  # the template or the parameters cannot express this; the text is for people
            reply.end(Ending("error", Cause.BAD_DATA, str(error)))
        except Exception:  # the libraries' boundary again
            log.exception("Generation %s could not be started", reply.id)
            message = "The model could not start this answer. Try again; the chat worker's log has the details."
            reply.end(Ending("error", Cause.ERROR, message))

    def _load(self, engine: Engine, adapter: Adapter | None) -> str:
        """Load an adapter, if its files are what was trained and its template is what the base has now."""
        if adapter is None or adapter.base_id != self.model.pk:
            raise Unavailable("The adapter of this answer is not there any more. Choose another one.")
        name = adapter.pk.hex
        try:
            if self.model.kind == LanguageModel.Kind.LOCAL and adapter.pk not in self._trusted:
                if adapter.template_hash != describe(self.model.path)["template_hash"]:
                    message = f"{adapter.name} was trained with another chat template than {self.model.name} has now, "
                    raise Unavailable(f"{message}so it would answer wrongly. Train it again on the present base.")
                if not is_whole(adapter.path, adapter.sha256):
                    message = f"The files of {adapter.name} are missing or have changed since it was trained. "
                    raise Unavailable(f"{message}Restore them from a backup, or train it again.")
            engine.load(AdapterRef(name, adapter.path))
        except ValueError as error:
            raise Unavailable(str(error)) from error
        self._trusted.add(adapter.pk)
        return name

    def _listen(self, engine: Engine) -> None:
        """In the second thread: note what the engine says. If it stops by itself, its replies keep what they have."""
        try:
            for delta in engine.run():
                self._hear(delta)
        except Exception:  # the libraries' boundary: an engine may die of anything
            log.exception("The engine of %s stopped", self.model.key)
        self.closed = True
        for reply in list(self.replies.values()):
            reply.end(self._gone)
        self.stir()

    def _hear(self, delta: Delta) -> None:
        reply = self.replies.get(delta.id)
        if reply is None:
            return
        generation = reply.generation
        generation.prompt_tokens = delta.prompt_tokens or generation.prompt_tokens
        generation.completion_tokens = delta.completion_tokens or generation.completion_tokens
        if delta.text:
            now = time.monotonic()
            reply.first_token = reply.first_token or now
            waiting = bool(reply.pieces)
            reply.pieces.append(delta.text)
            if not waiting and now >= max(reply.speaks_at, self.quiet_until):
                self.stir()  # after a pause, as at the beginning, it does not wait for the next tick
        if delta.finish_reason:
            cause = {"error": Cause.ERROR, "cancelled": Cause.CANCELLED}.get(delta.finish_reason, "")
            reply.end(Ending(delta.finish_reason, cause, delta.error))
            self.stir()


class Berths:
    """The models that are open."""

    def __init__(self, stir: Callable[[], None]) -> None:
        self.stir = stir
        self.of: dict[int, Berth] = {}

    def facts(self) -> dict[str, Any]:
        berths = list(self.of.values())
        return {
            "models": [berth.model.key for berth in berths if berth.engine],
            "context": {berth.model.key: berth.engine.context_length for berth in berths if berth.engine},
            "constrains": {berth.model.key: berth.engine.constrains for berth in berths if berth.engine},
            "pace": {berth.model.key: berth.engine.pace for berth in berths if berth.engine and berth.engine.pace},
            "engine": next((berth.kind for berth in berths if berth.kind), settings.STUDIO_ENGINE),
            "capacity": sum(berth.capacity for berth in berths) or BEFORE_OPEN,
            "in_flight": sum(len(berth.replies) for berth in berths),
            "threads": settings.STUDIO_INFER_THREADS or len(os.sched_getaffinity(0)),
        }

    def tidy(self) -> None:
        """Forget berths whose engine has gone, once their replies have been written down."""
        for berth in [berth for berth in self.of.values() if berth.closed and not berth.replies]:
            self._close(berth)

    @property
    def free(self) -> dict[int, int]:
        """The places of the open models that have any."""
        return {pk: berth.free for pk, berth in self.of.items() if berth.free > 0}

    @property
    def full(self) -> list[int]:
        """The models that can take no more replies now."""
        return [pk for pk, berth in self.of.items() if berth.free <= 0]

    @property
    def room(self) -> bool:
        """Whether another base could be opened now."""
        return len(self._local()) < OPEN_AT_MOST or any(not berth.replies for berth in self._local())

    def berth(self, model: LanguageModel) -> Berth:
        """The berth of this model, made if need be by closing the one that was idle longest."""
        berth = self.of.get(model.pk)
        if berth and not berth.replies and any(getattr(berth.model, name) != getattr(model, name) for name in SOURCE):
            self._close(berth)  # it has been pointed elsewhere since
        if model.pk not in self.of:
            idle = sorted((b for b in self._local() if not b.replies), key=lambda b: b.used_at)
            if len(self._local()) >= OPEN_AT_MOST and idle:
                self._close(idle[0])
            self.of[model.pk] = Berth(model, self.stir)
        return self.of[model.pk]

    def _close(self, berth: Berth) -> None:
        berth.close()
        del self.of[berth.model.pk]

    def _local(self) -> list[Berth]:
        return [berth for berth in self.of.values() if berth.model.kind == LanguageModel.Kind.LOCAL]

    def close(self) -> None:
        """Close all engines, and wait: a library that is still computing when Python ends takes the process down."""
        for berth in self.of.values():
            berth.close()
        for berth in self.of.values():
            berth.wait(CLOSE_SECONDS)
