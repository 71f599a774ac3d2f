"""Made-up words for benches that need much text, the same on every machine."""

from __future__ import annotations

import random

SYLLABLES = "an be cor da el fi gor ha im jo ka lum mi nor op pre qui ra sol ter un vo wen xi za".split()  # noqa: SIM905 - read as a line


def words(count: int) -> list[str]:
    """Up to 15,625 different words of three syllables."""
    return random.Random(1).sample([a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES], count)
