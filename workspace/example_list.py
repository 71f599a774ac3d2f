"""One page of an example set as its reader asks for it: searched, filtered by rating, sorted, with what each costs.

It knows the query of an address, not how the page looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q

from llmstudio.asked import number_in
from workspace.example_costs import Costs
from workspace.models import Example, ExampleSetVersion, User

PAGE = 50
SORTS = {"order": "Set order", "stars": "Best rated", "tokens": "Most tokens", "newest": "Newest"}


class ExampleList:
    """`rows` are examples with `place` (in the set, from 1), `tokens`, `mean`, `people` and `mine` (stars)."""

    def __init__(self, version: ExampleSetVersion, user: User, asked: Mapping[str, str], costs: Costs) -> None:
        self.version, self.user, self.costs = version, user, costs
        self.query = asked.get("q", "").replace("\x00", "").strip()[:200]
        self.stars = int(stars) if (stars := asked.get("stars", "")) in tuple("12345") else 0
        self.source = source if (source := asked.get("source", "")) in Example.Source.values else ""
        self.sort = sort if (sort := asked.get("sort", "")) in SORTS else "order"
        self.number = number_in(asked.get("page")) or 1
        self.place = {pk: place for place, pk in enumerate(version.order, 1)}

    @property
    def filtered(self) -> bool:
        return bool(self.query or self.stars or self.source)

    @property
    def arranged(self) -> bool:
        """Whether what is shown stands in the set's own order without gaps, so that it can be reordered."""
        return self.sort == "order" and not self.filtered

    @cached_property
    def ids(self) -> list[UUID]:
        """All that match, in the order asked for."""
        if self.arranged:
            return list(self.version.order)
        found: Any = Example.objects.filter(pk__in=self.version.order).rated(self.user)
        if self.query:
            found = found.filter(Q(input__icontains=self.query) | Q(output__icontains=self.query))
        if self.stars:
            found = found.filter(mean__gte=self.stars)
        if self.source:
            found = found.filter(source_kind=self.source)
        rows: list[Any] = list(found)
        rows.sort(key=lambda row: self.place[row.pk])
        if self.sort == "stars":
            rows.sort(key=lambda row: -(row.mean or 0))
        elif self.sort == "newest":
            rows.sort(key=lambda row: row.created_at, reverse=True)
        elif self.sort == "tokens":
            tokens = self.costs.of(rows)
            rows.sort(key=lambda row: -tokens[row.pk])
        return [row.pk for row in rows]

    @property
    def pages(self) -> int:
        return max(-(-len(self.ids) // PAGE), 1)

    @property
    def page(self) -> int:
        return min(max(self.number, 1), self.pages)

    @property
    def start(self) -> int:
        return (self.page - 1) * PAGE

    @cached_property
    def rows(self) -> list[Any]:
        ids = self.ids[self.start : self.start + PAGE]
        found = Example.objects.filter(pk__in=ids).rated(self.user).select_related("author").in_bulk()
        rows: list[Any] = [found[pk] for pk in ids if pk in found]
        tokens = self.costs.of(rows)
        for row in rows:
            row.place, row.tokens = self.place[row.pk], tokens[row.pk]
        return rows

    def address(self, **changes: Any) -> str:
        """The query of this page, with changes."""
        asked = {
            "q": self.query,
            "stars": self.stars or "",
            "source": self.source,
            "sort": self.sort if self.sort != "order" else "",
            "page": self.page,
            "model": self.costs.model.pk if self.costs.model else "",
            **changes,
        }
        return urlencode({key: value for key, value in asked.items() if value})

    @property
    def here(self) -> str:
        return self.address()

    @property
    def before(self) -> str:
        return self.address(page=self.page - 1) if self.start else ""

    @property
    def after(self) -> str:
        return self.address(page=self.page + 1) if self.start + PAGE < len(self.ids) else ""
