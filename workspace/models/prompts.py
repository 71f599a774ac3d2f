"""Prompts by name, and saving them. What a version says is in prompt_versions.py; labels and reviews have modules too."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery, SearchVector, SearchVectorField
from django.db import models, transaction
from django.db.models import F, Func, Q, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower, Now
from django.urls import reverse

from workspace import prompts
from workspace.models.activity import Activity
from workspace.models.examples import ExampleSetVersion
from workspace.models.includes import checked_content
from workspace.models.people import Team, User
from workspace.models.prompt_versions import PromptVersion
from workspace.models.shared import Versioned
from workspace.prompts import LATEST, MAX_NOTE, PRODUCTION, Message


def spelled(text: str) -> str:
    """Only letters and digits, so that what is searched for and what is found are cut into the same words."""
    return re.sub(r"[\W_]+", " ", text)


class PromptQuerySet(models.QuerySet["Prompt"]):
    def for_team(self, team: Team) -> Self:
        return self.filter(team=team, archived_at=None)

    def stamped(self) -> Self:
        """With `stamp`, which is another after every change of the row: the transaction that wrote it."""
        return self.annotate(stamp=RawSQL("workspace_prompt.xmin::text", []))

    def in_folder(self, folder: str) -> Self:
        """Those in a folder and in the folders below it."""
        return self.filter(Q(folder=folder) | Q(folder__startswith=f"{folder}/")) if folder else self

    def tagged(self, *tags: str) -> Self:
        return self.filter(tags__contains=list(tags)) if tags else self

    def search(self, words: str) -> Self:
        """Full text over name, description, tags and the latest version; each word may be the beginning of one."""
        terms = spelled(words[:200]).split()
        if not terms:
            return self
        query = SearchQuery(" & ".join(f"{term}:*" for term in terms), config="simple", search_type="raw")
        # The limit keeps the planner from walking the list's own order and matching texts one by one on the way.
        return self.filter(pk__in=Prompt.objects.filter(search=query).order_by().values("pk")[:1_000_000])


class Prompt(Versioned):
    """A prompt by its name. A slash in the name makes a folder, as in Langfuse. What it says is in its versions."""

    class Kind(models.TextChoices):
        CHAT = "chat", "Chat"
        TEXT = "text", "Text"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="prompts")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=prompts.MAX_NAME)
    folder = models.GeneratedField(
        expression=Func(F("name"), Value("/?[^/]*$"), Value(""), function="regexp_replace"),
        output_field=models.CharField(max_length=prompts.MAX_NAME),
        db_persist=True,
    )
    kind = models.CharField(max_length=4, choices=Kind.choices, default=Kind.CHAT)
    description = models.TextField(blank=True, max_length=2000)
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    parent = models.ForeignKey(
        "workspace.PromptVersion", on_delete=models.SET_NULL, null=True, related_name="forks", help_text="Forked from."
    )
    favourites = models.ManyToManyField(User, related_name="favourite_prompts", blank=True)
    search = SearchVectorField(null=True, editable=False)
    stamp: str  # where the rows are `stamped`
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)

    objects = PromptQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], condition=Q(archived_at=None), name="prompt_name_once")
        ]
        indexes = [
            models.Index(fields=["team", "-updated_at", "-id"], name="prompt_recent"),
            models.Index("team", Lower("name"), "id", name="prompt_by_name"),
            models.Index(
                fields=["team", "folder"],
                opclasses=["uuid_ops", "varchar_pattern_ops"],
                condition=Q(archived_at=None),
                name="prompt_folder",
            ),
            GinIndex(fields=["search"], name="prompt_search"),
            GinIndex(fields=["tags"], name="prompt_tags"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("prompt", kwargs={"team": self.team.slug, "prompt_id": self.pk})

    @property
    def newest(self) -> PromptVersion:
        return self.versions.select_related("author", "prompt__team", "examples__set").get(number=self.latest)

    def labels_by_version(self) -> dict[int, list[str]]:
        """Version number -> the labels that point at it; `latest` is one of them."""
        found: dict[int, list[str]] = {self.latest: [LATEST]}
        for name, number in self.labels.order_by("name").values_list("name", "version__number"):
            found.setdefault(number, []).append(name)
        return found

    def included_by(self, name: str = "") -> list[Prompt]:
        """Those whose latest version includes this one, by its name (or the one it had)."""
        if self.kind != self.Kind.TEXT:
            return []
        wanted = name or self.name
        rows = PromptVersion.objects.filter(
            prompt__team=self.team_id, prompt__archived_at=None, number=F("prompt__latest")
        )
        stored = json.dumps(wanted, ensure_ascii=False)[1:-1]  # as the name stands in what is searched
        maybe = rows.filter(messages__icontains=stored).exclude(prompt=self.pk).select_related("prompt__team")
        return [
            one.prompt for one in maybe if wanted in {include.name for include in prompts.includes_in(one.messages)}
        ]

    @property
    def leaf(self) -> str:
        """Its name without the folder."""
        return self.name.rpartition("/")[2]

    @classmethod
    def start(
        cls,
        *,
        team: Team,
        author: User,
        name: str,
        kind: str = Kind.CHAT,
        description: str = "",
        tags: Sequence[str] = (),
        parent: PromptVersion | None = None,
        **content: Any,
    ) -> Prompt:
        """A new prompt with its first version; `content` is what `save_version` takes. Raises PromptError, and
        IntegrityError for a name that is taken."""
        name = prompts.checked_name(name)
        with transaction.atomic():
            prompt = cls.objects.create(
                team=team, author=author, name=name, kind=kind, description=description, tags=list(tags), parent=parent
            )
            prompt.save_version(author, based_on=0, **content)
            return prompt

    def save_version(
        self,
        author: User,
        *,
        based_on: int | None,
        messages: Any,
        variables: Sequence[Mapping[str, Any]] = (),
        config: Mapping[str, Any] | None = None,
        schema: Mapping[str, Any] | None = None,
        examples: ExampleSetVersion | None = None,
        shots: Mapping[str, Any] | None = None,
        note: str = "",
        origin: PromptVersion | None = None,
    ) -> PromptVersion:
        """Store the next version. `based_on` is the version the author saw (None: whatever is latest); raises Stale
        when there is a newer one, Archived, and PromptError for content that cannot be kept."""
        content = checked_content(self, messages, variables, config, schema, shots)
        with transaction.atomic():
            held = self.held(based_on)
            version = PromptVersion.objects.create(
                prompt=held, number=held.latest + 1, author=author, note=note[:MAX_NOTE], examples=examples,
                origin=origin, **content,
            )  # fmt: skip
            self.change(latest=version.number, updated_at=Now())
            self.index()
            Activity.record(self.team_id, author, "created" if version.number == 1 else "saved", self, note=note)
            return version

    def restore(self, author: User, number: int) -> PromptVersion:
        """A new version that says what version `number` said."""
        old = self.versions.get(number=number)
        return self.save_version(author, based_on=None, note=f"Restored version {number}", origin=old, **old.content())

    def fork(self, author: User, name: str, version: PromptVersion) -> Prompt:
        """A new prompt that begins with `version` and remembers it."""
        return Prompt.start(
            team=self.team, author=author, name=name, kind=self.kind, description=self.description, tags=self.tags,
            parent=version, origin=version, note=f"Forked from {self.name}, version {version.number}",
            **version.content(),
        )  # fmt: skip

    def find(self, *, version: int | None = None, label: str | None = None) -> PromptVersion:
        """A version by number or by label; `production` when neither is said (Langfuse's rule).
        Raises PromptVersion.DoesNotExist."""
        versions = self.versions.select_related("examples")
        if version is not None:
            return versions.get(number=version)
        if label == LATEST:
            return versions.get(number=self.latest)
        return versions.get(labels__name=label or PRODUCTION)

    def describe(self, by: User, *, name: str, description: str, tags: Sequence[str], keep_name: bool = False) -> None:
        """Another name (and so, perhaps, folder), description or tags. With `keep_name` programs still find it under the
        old name. Raises PromptError, Archived, and IntegrityError for a name that is taken."""
        name = prompts.checked_name(name)
        with transaction.atomic():
            was = self.held().name
            self.change(name=name, description=description, tags=list(tags))
            self.index()
            if was != name:
                if keep_name:
                    PromptAlias.objects.update_or_create(team_id=self.team_id, alias=was, defaults={"prompt": self})
                Activity.record(self.team_id, by, "renamed", self, note=f"was {was}")

    def index(self) -> None:
        """Bring the search column up to date."""
        latest = self.versions.filter(number=self.latest).first()
        Prompt.objects.filter(pk=self.pk).update(search=self.searched(latest.messages if latest else ()))

    def searched(self, messages: Sequence[Message]) -> Func:
        """What the search column holds while the newest version says `messages`."""
        said = prompts.as_text(messages)[:200_000]
        text = spelled(" ".join([self.name, *self.tags, self.description, said]))
        # Without positions: nothing asks for them, and a third of the size fits into the row.
        return Func(SearchVector(Value(text), config="simple"), function="strip", output_field=SearchVectorField())


class PromptAlias(models.Model):
    """Another name under which programs know a prompt: OpenAI's `pmpt_...`, or one that it had before."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="prompt_aliases")
    alias = models.CharField(max_length=prompts.MAX_NAME)
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="aliases")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "alias"], name="prompt_alias_once")]

    def __str__(self) -> str:
        return self.alias
