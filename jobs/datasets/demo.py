"""The demo data set: the interface strings of Django's own French translation, with fixed splits.

Real rows that everyone has: read from the message catalogues of the installed Django, so nothing is downloaded. Plurals,
fuzzy and untranslated entries are left out, and texts whose placeholders were lost in translation.
"""

from __future__ import annotations

import gettext
import re
from functools import cache
from pathlib import Path
from typing import Any

import django
from django.db import transaction

from jobs.datasets import seal
from jobs.datasets.splits import group_of
from jobs.models import Dataset, Row, Split

NAME = "Interface strings, English to French"
DESCRIPTION = (
    "Interface strings of Django {version} with their French translations, by Django's translators. "
    "A small real task on which a small model improves within minutes."
)
LICENCE = "BSD-3-Clause (Django Software Foundation and individual contributors)"
PROMPT = "Translate to French: {}"
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}")
LONGEST = 300  # characters


def create_demo(team: Any) -> Dataset:
    """Give a team the demo data set, once."""
    rows, sha256, counts = sealed()
    known = Dataset.objects.filter(team=team, sha256=sha256).first()
    if known:
        return known
    with transaction.atomic():
        dataset = Dataset.objects.create(
            team=team,
            name=NAME,
            description=DESCRIPTION.format(version=django.get_version()),
            licence=LICENCE,
            sha256=sha256,
            counts=counts,
        )
        Row.objects.bulk_create(
            [Row(dataset=dataset, position=i, split=split, messages=m) for i, (split, m) in enumerate(rows)]
        )
    return dataset


@cache
def sealed() -> tuple[list[tuple[Split, list[dict[str, str]]]], str, dict[str, int]]:
    """The rows with their splits, the seal over them, and their counts."""
    rows = []
    for english, french in pairs().items():
        messages = [{"role": "user", "content": PROMPT.format(english)}, {"role": "assistant", "content": french}]
        rows.append((split_of(messages), messages))
    return rows, *seal.sealed(rows)


def split_of(messages: list[dict[str, str]]) -> Split:
    """By the prompt alone, so that a row keeps its split when Django adds others: about 8 of 10 train, 1 validates, 1 tests."""
    return {0: Split.TEST, 1: Split.VALIDATION}.get(group_of(messages) % 10, Split.TRAIN)


def pairs() -> dict[str, str]:
    """English -> French, each English text once, in a fixed order."""
    root = Path(django.__file__).parent
    core = root / "conf/locale/fr/LC_MESSAGES/django.mo"
    found: dict[str, str] = {}
    for path in [core, *sorted(root.glob("contrib/*/locale/fr/LC_MESSAGES/*.mo"))]:
        for english, french in _entries(path):
            if _usable(english, french):
                found.setdefault(english, french)
    return found


def _entries(path: Path) -> list[tuple[str, str]]:
    """Singular entries of a compiled catalogue (which holds no fuzzy ones), without their contexts."""
    with path.open("rb") as file:
        catalogue: dict[Any, str] = vars(gettext.GNUTranslations(file))["_catalog"]
    singular = sorted((key, text) for key, text in catalogue.items() if isinstance(key, str) and key and text)
    return [(key.rpartition("\x04")[2], text) for key, text in singular]


def _usable(english: str, french: str) -> bool:
    return (
        english != french
        and "\n" not in english
        and len(english) <= LONGEST
        and bool(re.search("[a-z]{2}", english))
        and sorted(PLACEHOLDER.findall(english)) == sorted(PLACEHOLDER.findall(french))
    )
