"""Sets of few-shot examples that prompts share, in immutable versions. How they are chosen is workspace/fewshot.py."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models, transaction
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from django.urls import reverse

from workspace import example_merging, fewshot
from workspace.example_merging import Choice, Clash, Difference
from workspace.examples import Slot, Texts, summary
from workspace.fewshot import Shots
from workspace.models.activity import Activity
from workspace.models.example import Example
from workspace.models.people import Team, User
from workspace.models.shared import Versioned

MAX_EXAMPLES = 2000  # in one set


class TooMany(Exception):
    """More examples than a set holds. Nothing was stored."""

    def __init__(self, wanted: int) -> None:
        super().__init__(f"A set holds at most {MAX_EXAMPLES:,} examples; this would make {wanted:,}.")


class Figures(NamedTuple):
    """Of a set's newest version: how many examples, their characters, and what people think of them."""

    examples: int = 0
    characters: int = 0
    stars: float | None = None
    ratings: int = 0

    @property
    def tokens(self) -> int:
        """Estimated, at four characters to a token."""
        return -(-self.characters // 4)


class ExampleSetQuerySet(models.QuerySet["ExampleSet"]):
    def for_team(self, team: Team) -> Self:
        return self.filter(team=team, archived_at=None)

    def search(self, words: str) -> Self:
        """Those with every word in the name or the description."""
        found = self
        for word in words.replace("\x00", "")[:200].split():
            found = found.filter(Q(name__icontains=word) | Q(description__icontains=word))
        return found

    def best_rated(self) -> Self:
        """By the stars that `figures` gives; sets that nobody has rated come last."""
        stars = RawSQL(
            """
            (SELECT avg(rated.mean) FROM (
               SELECT avg(rating.stars) AS mean
               FROM workspace_examplesetversion AS version
               JOIN workspace_example AS example ON example.set_id = version.set_id
               JOIN workspace_examplerating AS rating ON rating.example_id = example.id
               WHERE version.set_id = workspace_exampleset.id AND version.number = workspace_exampleset.latest
                 AND example.id = ANY(version."order")
               GROUP BY example.id) AS rated)
            """,
            [],
        )
        return self.order_by(stars.desc(nulls_last=True), "-updated_at")

    @staticmethod
    def figures(sets: Sequence[ExampleSet]) -> dict[uuid.UUID, Figures]:
        """For a page of sets, in one query."""
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT version.set_id, count(*), sum(length(example.input) + length(example.output)),
                       avg(rated.mean)::float, coalesce(sum(rated.people), 0)::int
                FROM workspace_examplesetversion AS version
                JOIN unnest(%s::uuid[], %s::int[]) AS newest(id, number)
                  ON newest.id = version.set_id AND newest.number = version.number
                CROSS JOIN unnest(version."order") AS place(id)
                JOIN workspace_example AS example ON example.id = place.id
                LEFT JOIN (SELECT example_id, avg(stars) AS mean, count(*) AS people
                           FROM workspace_examplerating GROUP BY example_id) AS rated ON rated.example_id = example.id
                GROUP BY version.set_id
                """,
                [[found.pk for found in sets], [found.latest for found in sets]],
            )
            return {row[0]: Figures(*row[1:]) for row in cursor.fetchall()}


class ExampleSet(Versioned):
    """An ordered set of examples, shared by prompts, which keep an archived one. What it holds is in its versions."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="example_sets")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True, max_length=2000)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)

    objects = ExampleSetQuerySet.as_manager()

    class Meta:
        verbose_name = "few-shot set"
        ordering = ["-updated_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "name"], condition=Q(archived_at=None), name="example_set_name_once"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("example_set", kwargs={"team": self.team.slug, "set_id": self.pk})

    @classmethod
    def start(cls, *, team: Team, author: User, name: str, description: str = "") -> ExampleSet:
        """An empty set, at version 1. Raises IntegrityError for a name that is taken."""
        with transaction.atomic():
            found = cls.objects.create(team=team, author=author, name=name, description=description)
            found.save_version(author, [], note="Started")
            return found

    @property
    def newest(self) -> ExampleSetVersion:
        return self.versions.get(number=self.latest)

    def save_version(
        self, author: User, order: Sequence[uuid.UUID], *, note: str = "", based_on: int | None = None
    ) -> ExampleSetVersion:
        """The next version: these examples of this set, in this order. `based_on` is the version the author saw (None:
        whatever is newest). Raises Stale when there is a newer one, Archived, and TooMany."""
        if len(order) > MAX_EXAMPLES:
            raise TooMany(len(order))
        with transaction.atomic():
            held = self.held(based_on)
            version = ExampleSetVersion.objects.create(
                set=held, number=held.latest + 1, author=author, order=list(order), note=note[:300]
            )
            self.change(latest=version.number, updated_at=Now())
            verb = "started" if version.number == 1 else "saved"
            Activity.record(self.team_id, author, verb, self, note="" if version.number == 1 else note)
            return version

    def add(self, author: User, *, input: str, output: str, note: str = "", **fields: Any) -> Example:
        """One more example at the end, as a new version. `fields`: values, source_kind, source_id. Raises BadExample."""
        texts = Texts.checked(input, output, fields.pop("values", None))
        [example] = self.add_many(author, [texts], note=note or "Added an example", **fields)
        return example

    def add_many(self, author: User, texts: Iterable[Texts], *, note: str, **source: Any) -> list[Example]:
        """More examples at the end, all from one source and in one new version."""
        return self.append(author, [(one, source) for one in texts], note=note)

    def append(self, author: User, rows: Iterable[tuple[Texts, Mapping[str, Any]]], *, note: str) -> list[Example]:
        """More examples at the end, each with its source_kind and source_id, all in one new version."""
        with transaction.atomic():
            held = self.held()
            order = held.newest.order if held.latest else []
            made = [Example.of(held, author, one, **source) for one, source in rows]
            Example.objects.bulk_create(made)
            self.save_version(author, [*order, *(example.pk for example in made)], note=note)
            return made

    def save_slots(
        self, author: User, slots: Sequence[Slot], *, based_on: int, note: str = ""
    ) -> ExampleSetVersion | None:
        """The next version as `slots` say it, or None where they change nothing. An edit makes a new example that
        replaces the old one. Raises Stale and TooMany."""
        with transaction.atomic():
            base = self.held(based_on).newest.order
            if not (what := summary(base, slots)):
                return None
            old = Example.objects.filter(set=self).in_bulk([slot.example for slot in slots if slot.example])
            order: list[uuid.UUID] = []
            made: list[Example] = []
            for slot in slots:
                if slot.texts is None and slot.example and slot.example in old:
                    order.append(slot.example)
                elif slot.texts:
                    made.append(
                        Example.of(self, author, slot.texts, replaces=old.get(slot.example) if slot.example else None)
                    )
                    order.append(made[-1].pk)
            Example.objects.bulk_create(made)
            return self.save_version(author, order, note=note or what)

    def restore(self, author: User, number: int) -> ExampleSetVersion:
        """A new version that holds what version `number` held."""
        order = self.versions.get(number=number).order
        return self.save_version(author, order, note=f"Restored version {number}")

    def describe(self, *, name: str, description: str) -> None:
        """Another name or description. Raises Archived, and IntegrityError for a name that is taken."""
        with transaction.atomic():
            self.held()
            self.change(name=name, description=description)


class ExampleSetVersion(models.Model):
    """Which examples, in which order. Never changes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    set = models.ForeignKey(ExampleSet, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=300, blank=True)
    order = ArrayField(models.UUIDField(), default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["set", "number"], name="example_set_version_once")]

    def __str__(self) -> str:
        return f"{self.set.name} v{self.number}"

    def ordered(self) -> list[Example]:
        rows = Example.objects.in_bulk(self.order)
        return [rows[pk] for pk in self.order if pk in rows]

    def choose(
        self,
        shots: Shots,
        query: str,
        *,
        question: str = "",
        omit: uuid.UUID | None = None,
        count: Callable[..., int | None] | None = None,
        among: Sequence[Example] | None = None,
    ) -> list[Example]:
        """The examples for one input, out of `among` (its own, looked up now, unless they are handed in). `question` is a
        prompt's last user message, still with its variables."""
        ordered = [one for one in (self.ordered() if among is None else among) if one.pk != omit]
        by_id = {example.pk: example for example in ordered}
        measure = fewshot.meter(count)

        def nearest() -> list[Example]:
            ids = Example.objects.filter(pk__in=by_id).nearest(query).values_list("pk", flat=True)
            return [by_id[pk] for pk in ids]

        def cost(example: Example) -> int:
            return measure(fewshot.pair(example, question))

        return shots.choose(ordered, query, nearest=nearest, cost=cost)

    def differences(self, newer: ExampleSetVersion) -> list[Difference]:
        """What changed from this version to `newer`."""
        origin = Example.objects.origins(newer.order, self.order)
        return example_merging.differences(self.order, newer.order, origin)

    def merged(
        self, theirs: ExampleSetVersion, mine: Sequence[Slot], choices: Mapping[uuid.UUID, Choice] | None = None
    ) -> tuple[list[Slot], list[Clash]]:
        """Someone's changes to this version put on top of a newer one, and the examples that both changed."""
        became = {old: new for new, old in Example.objects.origins(theirs.order, self.order).items()}
        return example_merging.merge(self.order, theirs.order, mine, became, choices)
