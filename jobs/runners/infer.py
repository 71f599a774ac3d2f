"""The infer worker's runner: claims replies, hands them to engines, writes what comes to the log and the row.

Engines speak in threads of their own; this one thread does all the Redis and Postgres work: at most 20 log entries a
second for each reply, and every second one UPDATE that saves all snapshots and renews all leases.
It does not know chats, only generations.
"""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any

from django.conf import settings

from jobs import notices
from jobs.models import Cause, Generation, LanguageModel, LeaseLost, State
from jobs.runners import bell
from jobs.runners.engines import Berths, Ending, Reply
from jobs.tasks import ring_now
from jobs.tokenlog import TokenLog

log = logging.getLogger(__name__)

TICK = 0.05  # seconds between two log entries of a reply
EACH = 0.001  # what a reply in flight adds to the pause between two exchanges with the log,
TOGETHER = 0.025  # which is at most this: what replies say meanwhile then goes in one
CANCEL_SECONDS = 0.25  # between two looks at what people want stopped
CLAIM_SECONDS = 0.5  # between two looks for more, unrung, while some are in flight
SAVE_SECONDS = 1.0
POLL_SECONDS = 1.0
STOP_SECONDS = 5.0  # for replies in flight when the worker is asked to go

STATES = {"cancelled": State.CANCELLED, "stop": State.SUCCEEDED, "length": State.SUCCEEDED}
STOPPED = "The chat worker was stopped while it was answering. What it had written is kept; continue from there."


class InferRunner:
    def __init__(self, name: str) -> None:
        self.name = name
        self.log = TokenLog()
        self.berths = Berths(stir=bell.stir)
        self.replies: dict[str, Reply] = {}
        self.looked_at = self.saved_at = self.polled_at = self.quiet_until = 0.0

    @property
    def pause(self) -> float:
        if not self.replies:
            return POLL_SECONDS
        now = time.monotonic()
        waiting = [max(reply.speaks_at, self.quiet_until) - now for reply in self.replies.values() if reply.pieces]
        return max(0.0, min([TOGETHER, *waiting]))

    def facts(self) -> dict[str, Any]:
        return self.berths.facts()

    def look(self) -> None:
        self._write()
        self.berths.tidy()
        if not self.berths.of:
            self._warm()
        if bell.called() or not self.replies or time.monotonic() - self.polled_at > CLAIM_SECONDS:
            self.polled_at = time.monotonic()
            self._claim()

    def stop(self) -> None:
        """Let replies in flight end for a moment, then mark what is left so that a person can continue it."""
        deadline = time.monotonic() + STOP_SECONDS
        while self.replies and time.monotonic() < deadline:
            self._write()
            bell.wait(self.pause)
        for reply in self.replies.values():
            reply.end(Ending("error", Cause.LOST, STOPPED))
        self._write()
        self.berths.close()

    def _warm(self) -> None:
        """Open the studio's own model before anyone asks, so that the first answer does not wait for it."""
        model = LanguageModel.objects.filter(key=settings.STUDIO_DEFAULT_MODEL, enabled=True).first()
        if model and (model.path / "studio.json").exists():
            self.berths.berth(model)

    def _claim(self) -> None:
        """Take on replies, oldest first, as long as their model has a place free, or can be opened. One ring may stand
        for many: a worker that leaves some for want of room passes it on."""
        some = False
        while claimed := self._next():
            some = True
            for generation in claimed:
                reply = self.berths.berth(generation.model).begin(generation)
                self.replies[reply.id] = reply
        if some and self.berths.full:
            ring_now("infer")

    def _next(self) -> list[Generation]:
        """Of open models as many as there is room for: of eight questions asked at once the last then waits for one commit
        and not for eight. Else the oldest of a model that could be opened."""
        free = self.berths.free
        if free and (found := Generation.objects.filter(model_id__in=free).claim(self.name, min(free.values()))):
            return found
        opened = list(self.berths.of)
        return Generation.objects.exclude(model_id__in=opened).claim(self.name) if self.berths.room else []

    def _write(self) -> None:
        """Everything that has come since the last time, for all replies in one exchange with the log.

        A piece that comes after a pause goes at once; what follows it waits. Replies alone or few speak as soon as they
        have something to say, at most every TICK each; many wait for each other.
        """
        now = time.monotonic()
        said, ended = [], []
        for reply in self.replies.values():
            ending = reply.ending  # read first: all pieces before it have then been added
            if reply.pieces and (ending or now >= max(reply.speaks_at, self.quiet_until)):
                # One that spoke late may speak as much sooner the next time, so that a steady engine is never held back.
                reply.speaks_at = max(reply.speaks_at, now - TICK) + TICK
                said.append((reply.generation, "".join(reply.pieces.popleft() for _ in range(len(reply.pieces)))))
            if ending:
                ended.append((reply, ending))
        self.log.append_all(said)
        if said:
            self.quiet_until = now + min(TOGETHER, EACH * len(self.replies))
            for berth in self.berths.of.values():
                berth.quiet_until = self.quiet_until
        for reply, ending in ended:
            self._end(reply, ending)
        if self.replies and now - self.saved_at >= SAVE_SECONDS:
            self.saved_at = now
            self._save()
        if self.replies and now - self.looked_at >= CANCEL_SECONDS:
            self.looked_at = now
            self._cancel()

    def _save(self) -> None:
        for reply in self.replies.values():
            reply.generation.first_token_ms = _since_asked(reply, reply.first_token)
        held = Generation.objects.snapshot([reply.generation for reply in self.replies.values()])
        for reply in [reply for reply in self.replies.values() if reply.generation.pk not in held]:
            log.warning("Generation %s is no longer held here; it is dropped.", reply.id)
            self._forget(reply)

    def _cancel(self) -> None:
        asked = Generation.objects.filter(
            pk__in=[reply.generation.pk for reply in self.replies.values() if not reply.cancelled],
            cancel_requested_at__isnull=False,
        )
        for pk in asked.values_list("pk", flat=True):
            reply = self.replies[str(pk)]
            reply.berth.cancel(reply)

    def _end(self, reply: Reply, ending: Ending) -> None:
        generation = reply.generation
        state = STATES.get(ending.finish_reason, State.FAILED)
        answered = state == State.SUCCEEDED
        try:
            generation.conclude(
                state,
                schema_problem=generation.check_answer(generation.text, ending.finish_reason) if answered else "",
                cause=ending.cause,
                message=ending.message,
                finish_reason=ending.finish_reason,
                text=generation.text,
                text_sha256=hashlib.sha256(generation.text.encode()).hexdigest(),
                sequence_number=generation.sequence_number,
                prompt_tokens=generation.prompt_tokens,
                completion_tokens=generation.completion_tokens,
                first_token_ms=_since_asked(reply, reply.first_token),
                total_ms=_since_asked(reply, time.monotonic()),
            )
        except LeaseLost as error:
            log.warning("%s", error)
        else:
            self.log.close(generation)
            notices.changed(generation.team_id, "generation", generation.pk, generation.sequence_number)
            if generation.repairs_id:  # pages show it in the place of the answer that it repairs
                notices.changed(generation.team_id, "generation", generation.repairs_id, generation.sequence_number)
        self._forget(reply)
        bell.ring("infer")  # there is room for another

    def _forget(self, reply: Reply) -> None:
        if not reply.ending:
            reply.berth.cancel(reply)
        del self.replies[reply.id]
        del reply.berth.replies[reply.id]


def _since_asked(reply: Reply, moment: float | None) -> int | None:
    """Milliseconds from the request to `moment`, the wait in the queue included: that is what the person felt."""
    if moment is None:
        return None
    asked, claimed = reply.generation.queued_at, reply.generation.started_at
    waited = (claimed - asked).total_seconds() if claimed else 0.0
    return round((waited + moment - reply.began) * 1000)
