"""The worker's side of the token log."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import redis
from django.conf import settings

from jobs.models import Generation
from jobs.texts import storable
from jobs.tokenlog.events import AWAY, SAID, Entry, key_of, parse, told

log = logging.getLogger(__name__)

KEPT_SECONDS = 3600  # after the last entries; later readers are answered from the row
RENEWED = 64  # entries after which that time begins anew
AWAY_SECONDS = 2.0  # before a Redis that did not answer is asked again


class TokenLog:
    """The worker's side. A Redis that is away costs readers up to a second of delay, and never the reply."""

    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(
            settings.REDIS_URL, decode_responses=True, socket_timeout=1, socket_connect_timeout=1
        )
        self._away_until = 0.0

    def append(self, generation: Generation, text: str) -> int:
        """Add a piece to the reply, in memory and in the log. Its number counts even if the log could not take it."""
        self.append_all([(generation, text)])
        return generation.sequence_number

    def append_all(self, pieces: Sequence[tuple[Generation, str]]) -> None:
        """A piece each for many replies, in one exchange with Redis, which readers hear of in one message."""
        entries = []
        for generation, text in pieces:
            text = storable(text)
            generation.text += text
            generation.sequence_number += 1
            entries.append((generation, (generation.fence, generation.sequence_number, text)))
        self._add(entries)

    def close(self, generation: Generation) -> None:
        """Tell readers that the row is final now. Call it after the row says so."""
        self._add([(generation, (generation.fence + 1, 0, ""))])

    def unsaved(self, generation: Generation) -> list[str]:
        """The pieces that the log holds beyond the row's snapshot, as far as they follow on from it."""
        try:
            answer = self._redis.xrange(
                key_of(generation.pk),
                f"{generation.fence}-{generation.sequence_number + 1}",
                f"{generation.fence}-{2**63}",
            )
        except AWAY:
            return []
        entries = parse(answer)
        return [delta for number, delta in entries if number <= generation.sequence_number + len(entries)]

    def _add(self, entries: Sequence[tuple[Generation, Entry]]) -> None:
        """To the logs, and, once they are there, to whoever follows: a transaction."""
        if not entries or time.monotonic() < self._away_until:
            return
        exchange = self._redis.pipeline()
        keys = []  # of the answers, in their order
        for generation, (fence, number, text) in entries:
            keys.append(key_of(generation.pk))
            exchange.xadd(keys[-1], {"d": text} if number else {"end": "1"}, id=f"{fence}-{number}")
            if not number or generation.sequence_number % RENEWED == 1:
                keys.append(keys[-1])
                exchange.expire(keys[-1], KEPT_SECONDS)
        exchange.publish(SAID, told([(generation.pk, entry) for generation, entry in entries]))
        try:
            answers = exchange.execute(raise_on_error=False)
        except redis.ResponseError as error:
            log.warning("The token log refused entries: %s", error)
        except AWAY as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("The token log is away (%s); replies reach their readers through the database.", error)
        else:
            for key, answer in zip(keys, answers, strict=False):
                if isinstance(answer, redis.ResponseError):
                    log.warning("The token log refused an entry of %s: %s", key, answer)
