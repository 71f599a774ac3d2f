"""@mentions in plain text: who is meant, and the text as safe HTML with links and mentions marked.

A person is called by name, by address, by what stands before the @ of the address, or by first name; a call that two
people answer to means nobody. It does not know where the text stands.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from django.utils.html import escape, format_html, urlize
from django.utils.safestring import SafeString, mark_safe

from workspace.models.people import User

MOST = 25  # people mentioned in one text


def names_of(user: User) -> list[str]:
    """What a person may be called after the @, the surest first."""
    name = str(user)
    return list(
        dict.fromkeys([user.email, name, user.email.partition("@")[0], name.split()[0] if name.split() else name])
    )


def callable_by(people: Iterable[User]) -> dict[str, User]:
    """Every name that means exactly one of `people`, in small letters."""
    meant: dict[str, set[User]] = defaultdict(set)
    for user in people:
        for name in names_of(user):
            meant[name.lower()].add(user)
    return {name: next(iter(users)) for name, users in meant.items() if len(users) == 1}


def handle(user: User, callable_: dict[str, User]) -> str:
    """The name that a mention of `user` is written with: the full name where it is theirs alone, else the address."""
    name = str(user)
    return name if callable_.get(name.lower()) == user else user.email


def _calls(names: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(names, key=len, reverse=True)
    if not longest_first:
        return None
    either = "|".join(re.escape(name) for name in longest_first)
    # Not inside an address or a link, and not the beginning of a longer name.
    return re.compile(rf"(?<![\w@./-])@({either})(?![\w@]|[.-]\w)", re.IGNORECASE)


def found(text: str, people: Iterable[User]) -> list[User]:
    """Those of `people` whom the text mentions, each once, in the order of the text."""
    by_name = callable_by(people)
    pattern = _calls(by_name)
    calls = pattern.findall(text) if pattern else []
    # A letter may match without being the same in small: the dotless ı, say, matches an i.
    return list(dict.fromkeys(by_name[call.lower()] for call in calls if call.lower() in by_name))


def as_html(text: str, mentioned: Iterable[User]) -> SafeString:
    """The text escaped, with its links made links and the mentions of `mentioned` marked."""
    pattern = _calls({name for user in mentioned for name in names_of(user)})
    pieces, at = [], 0
    for match in pattern.finditer(text) if pattern else ():
        pieces.append(_linked(text[at : match.start()]))
        pieces.append(format_html('<span class="mention">{}</span>', match.group()))
        at = match.end()
    pieces.append(_linked(text[at:]))
    return mark_safe("".join(pieces))  # noqa: S308 - every piece is escaped


def _linked(text: str) -> str:
    return str(urlize(text, nofollow=True, autoescape=True)) if "://" in text or "www." in text else str(escape(text))
