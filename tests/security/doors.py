"""Every door of the web process, read from the URL resolver: so that a new one cannot be forgotten here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.urls import URLPattern, URLResolver, get_resolver, reverse

from llmstudio.policy import KEY_NAMESPACES, ROUTES

# What a program may send to doors that read their body before they look for the object: else a 400 would hide the 404.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("langfuse:version", "PATCH"): {"newLabels": ["staging"]},
    ("api:versions", "POST"): {"messages": [{"role": "user", "content": "Mine now"}]},
    ("api:label", "PUT"): {"version": 1},
    ("api:run", "POST"): {},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True)
class Door:
    name: str  # as the resolver reports it: the key into ROUTES
    params: tuple[tuple[str, str], ...]  # (name, converter)

    @property
    def rules(self) -> dict[str, int]:
        return ROUTES[self.name]

    @property
    def by_key(self) -> bool:
        return self.name.partition(":")[0] in KEY_NAMESPACES

    @property
    def is_langfuse(self) -> bool:
        """Its errors are in Langfuse's shape."""
        return self.name.startswith("langfuse:")

    @property
    def in_team(self) -> bool:
        return any(name == "team" for name, _ in self.params)

    @property
    def children(self) -> list[str]:
        """The parameters that name an object inside the team."""
        within = self.in_team or self.by_key
        return [name for name, _ in self.params if name != "team"] if within else []

    def path(self, **values: Any) -> str:
        """Its address; parameters that are not given are filled with something that does not exist."""
        blank = {"uuid": uuid4(), "int": 2**31 - 1, "slug": "none", "string": "none", "path": "none"}
        return reverse(self.name, kwargs={name: values.get(name, blank[kind]) for name, kind in self.params})

    def __str__(self) -> str:
        return self.name


def walk(patterns: list[Any], namespace: str = "", before: dict[str, Any] | None = None) -> Iterator[Door]:
    for pattern in patterns:
        converters = {**(before or {}), **pattern.pattern.converters}
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from walk(pattern.url_patterns, inner, converters)
        elif isinstance(pattern, URLPattern):
            groups = {**dict.fromkeys(pattern.pattern.regex.groupindex), **converters}
            kinds = {
                name: type(kind).__name__.removesuffix("Converter").lower() if kind else "string"
                for name, kind in groups.items()
            }
            yield Door(f"{namespace}{pattern.name}", tuple(kinds.items()))


ALL = sorted(set(walk(get_resolver().url_patterns)), key=str)
OPEN = [door for door in ALL if ROUTES.get(door.name)]  # the others are shut
TEAM = [door for door in OPEN if door.in_team]
KEYED = [door for door in OPEN if door.by_key]


def least(door: Door, method: str) -> int | None:
    return door.rules.get("GET" if method == "HEAD" else method)
