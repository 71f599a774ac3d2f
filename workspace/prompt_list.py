"""The library of a team's prompts: what the list is filtered by, its folders and tags with their counts, its pages.

It reads; changing many at once is workspace/bulk.py. It knows no request beyond the query that a person typed or followed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlencode
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Lower
from django.http import QueryDict

from workspace.models import Prompt, PromptLabel, PromptVersion, Team, User
from workspace.models.prompts import PromptQuerySet

PAGE = 40  # prompts fetched at once
FOLDERS = 300  # shown in the tree; more are found by searching
TAGS = 40  # offered as chips
SORTS = {"recent": "Last saved", "name": "Name"}


@dataclass(frozen=True)
class Filters:
    """What the address of the list says. `tags` must all be there; `folder` includes the folders below."""

    q: str = ""
    folder: str = ""
    tags: tuple[str, ...] = ()
    kind: str = ""
    label: str = ""
    favourites: bool = False
    archived: bool = False
    sort: str = "recent"

    @classmethod
    def from_query(cls, query: QueryDict) -> Self:
        """Whatever makes no sense is left out: a list is shown for every address."""
        kind, sort = query.get("kind", ""), query.get("sort", "")
        return cls(
            q=query.get("q", "").replace("\x00", "").strip()[:200],
            folder=query.get("folder", "").replace("\x00", "").strip("/")[:200],
            tags=tuple(dict.fromkeys(tag.replace("\x00", "") for tag in query.getlist("tags") if tag))[:10],
            kind=kind if kind in Prompt.Kind.values else "",
            label=query.get("label", "").replace("\x00", "")[:36],
            favourites=bool(query.get("favourites")),
            archived=bool(query.get("archived")),
            sort=sort if sort in SORTS else "recent",
        )

    def query(self, **changes: Any) -> str:
        """The same filters, or changed ones, as the query of an address; empty ones are left out."""
        asked: dict[str, Any] = {}
        changed = replace(self, **changes)
        for item in fields(changed):
            value = getattr(changed, item.name)
            if value and value != item.default:
                asked[item.name] = "1" if value is True else value
        return urlencode(asked, doseq=True)

    @property
    def narrow(self) -> bool:
        """Whether they leave anything out, apart from the folder and the archive."""
        return bool(self.q or self.tags or self.kind or self.label or self.favourites)

    def apply(self, team: Team, user: User) -> PromptQuerySet:
        found = Prompt.objects.filter(team=team, archived_at__isnull=not self.archived)
        found = found.in_folder(self.folder).tagged(*self.tags)
        if self.q:
            found = found.search(self.q)
        if self.kind:
            found = found.filter(kind=self.kind)
        if self.label:
            found = found.filter(Exists(PromptLabel.objects.filter(prompt=OuterRef("pk"), name=self.label)))
        if self.favourites:
            found = found.filter(favourites=user)
        return found


@dataclass(frozen=True)
class Row:
    """One line of the list."""

    prompt: Prompt
    version: PromptVersion | None
    labels: list[PromptLabel]
    favourite: bool

    @property
    def shown(self) -> tuple[Any, ...]:
        """All that decides how the line is drawn, apart from the folder that is looked at and what time it is."""
        prompt, version = self.prompt, self.version
        return (
            prompt.team.slug, prompt.pk, prompt.name, prompt.kind, tuple(prompt.tags), prompt.latest, self.favourite,
            *((label.name, label.version.number) for label in self.labels),
            version and (version.created_at, str(version.author), version.note, version.status),
        )  # fmt: skip


@dataclass(frozen=True)
class Page:
    rows: list[Row] = field(default_factory=list)
    after: str = ""  # where the next page begins; empty on the last


def page(filters: Filters, team: Team, user: User, after: str = "") -> Page:
    """One page in the order asked for. Three queries, however many prompts there are."""
    found = filters.apply(team, user).annotate(
        starred=Exists(Prompt.favourites.through.objects.filter(prompt=OuterRef("pk"), user=user))
    )
    found = _after(_sorted(found, filters.sort), filters.sort, after)
    prompts = list(found.defer("search", "description")[: PAGE + 1])
    shown = prompts[:PAGE]
    for prompt in shown:
        prompt.team = team
    more = _cursor(shown[-1], filters.sort) if len(prompts) > PAGE else ""
    return Page(_rows(shown), more)


def _rows(prompts: Sequence[Any]) -> list[Row]:
    newest = (
        PromptVersion.objects.filter(prompt__in=prompts, number=F("prompt__latest"))
        .select_related("author")
        .only("prompt_id", "number", "note", "status", "created_at", "author__name", "author__email")
    )
    versions = {version.prompt_id: version for version in newest}
    labels: dict[UUID, list[PromptLabel]] = {}
    for label in (
        PromptLabel.objects.filter(prompt__in=prompts)
        .select_related("version")
        .only("prompt_id", "name", "version__number")
    ):
        labels.setdefault(label.prompt_id, []).append(label)
    return [Row(prompt, versions.get(prompt.pk), labels.get(prompt.pk, []), prompt.starred) for prompt in prompts]


def _sorted(found: Any, sort: str) -> Any:
    if sort == "name":
        return found.annotate(lowered=Lower("name")).order_by("lowered", "pk")
    return found.order_by("-updated_at", "-pk")


def _cursor(last: Any, sort: str) -> str:
    return f"{last.lowered if sort == 'name' else last.updated_at.isoformat()}~{last.pk}"


def _after(found: Any, sort: str, after: str) -> Any:
    """Those behind the cursor: by key, so that a page costs the same at the end as at the beginning. The outer
    comparison is the one that the index answers."""
    value, _, pk = after.rpartition("~")
    try:
        key = UUID(pk)
        if sort == "name":
            return found.filter(lowered__gte=value).filter(Q(lowered__gt=value) | Q(pk__gt=key))
        at = datetime.fromisoformat(value)
        return found.filter(updated_at__lte=at).filter(Q(updated_at__lt=at) | Q(pk__lt=key))
    except ValueError:
        return found


@dataclass(frozen=True)
class Folder:
    """One line of the folder tree. `count` is of the prompts in it and below it."""

    path: str
    count: int
    depth: int
    open: bool
    parent: bool  # has folders below it
    query: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def folders(filters: Filters, team: Team) -> tuple[list[Folder], int]:
    """The tree, open along the way to the chosen folder, and the number of all prompts."""
    held = Prompt.objects.filter(team=team, archived_at__isnull=not filters.archived)
    direct = dict(held.order_by().values_list("folder").annotate(number=Count("*")))  # the index on folders suffices
    counts = summed(direct)
    parents = {path.rpartition("/")[0] for path in counts}
    open_in = {"", *summed({filters.folder: 0})}  # on the way to where one looks
    shown = [path for path in counts if path.rpartition("/")[0] in open_in]
    tree: list[Folder] = []
    for path in sorted(shown, key=lambda path: path.lower().split("/")):
        inside = path in open_in
        if inside or len(tree) < FOLDERS:
            query = filters.query(folder=path)
            tree.append(Folder(path, counts[path], path.count("/"), inside, path in parents, query))
    return tree, sum(direct.values())


def summed(direct: Mapping[str, int]) -> Counter[str]:
    """Each folder's count with those of the folders below it."""
    counts: Counter[str] = Counter()
    for folder, number in direct.items():
        parts = folder.split("/") if folder else []
        for depth in range(1, len(parts) + 1):
            counts["/".join(parts[:depth])] += number
    return counts


@dataclass(frozen=True)
class Tag:
    name: str
    count: int
    on: bool
    query: str


def tags(filters: Filters, found: QuerySet[Prompt]) -> tuple[list[Tag], int]:
    """The tags of what is found, most used first: every further one that is offered still leaves something. And how much
    is found: one reading of it answers both, which a search for a common word notices. Prompts with the same tags are
    counted together first: that halves the time."""
    sql, params = found.order_by().values("tags").query.sql_with_params()
    statement = f"""
        WITH found AS MATERIALIZED (SELECT tags, count(*) AS number FROM ({sql}) AS one GROUP BY tags)
        SELECT NULL, coalesce(sum(number), 0)::bigint FROM found UNION ALL (
            SELECT tag, sum(number)::bigint FROM found, unnest(found.tags) AS tag GROUP BY tag ORDER BY 2 DESC, 1 LIMIT %s
        )
    """  # noqa: S608 - the SQL is the ORM's; every value is a parameter
    with connection.cursor() as cursor:
        cursor.execute(statement, [*params, TAGS])
        counts = dict(cursor.fetchall())
    total = counts.pop(None)
    chosen = [Tag(name, counts.get(name, 0), True, _without(filters, name)) for name in filters.tags]
    others = [
        Tag(name, number, False, filters.query(tags=(*filters.tags, name)))
        for name, number in counts.items()
        if name not in filters.tags
    ]
    return chosen + others, total


def _without(filters: Filters, tag: str) -> str:
    return filters.query(tags=tuple(one for one in filters.tags if one != tag))


def crumbs(filters: Filters) -> list[tuple[str, str]]:
    """Name and query of each folder on the way down."""
    parts: Iterable[str] = filters.folder.split("/") if filters.folder else ()
    way, path = [], ""
    for part in parts:
        path = f"{path}/{part}" if path else part
        way.append((part, filters.query(folder=path)))
    return way


def label_names(team: Team) -> list[str]:
    """The labels in use. Each name is asked after once, and the first prompt that carries it is enough."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT every.name FROM (SELECT DISTINCT name FROM workspace_promptlabel) AS every CROSS JOIN LATERAL (
                SELECT FROM workspace_promptlabel AS label JOIN workspace_prompt AS prompt ON prompt.id = label.prompt_id
                WHERE label.name = every.name AND prompt.team_id = %s LIMIT 1
            ) AS carried ORDER BY every.name
            """,
            [team.pk],
        )
        return [row[0] for row in cursor.fetchall()]


@contextmanager
def by_index(filters: Filters) -> Iterator[None]:
    """Within it a search goes through its index even for a word that most prompts hold. Reading every prompt's list of
    words instead takes ten times as long, which the planner does not know."""
    with transaction.atomic(), connection.cursor() as cursor:
        if filters.q:
            cursor.execute("SET LOCAL enable_seqscan = off")
        yield
