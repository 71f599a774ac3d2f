"""Prompts and their immutable versions. Labels and reviews are in their own modules; the language is workspace/prompts.py."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery, SearchVector, SearchVectorField
from django.db import models, transaction
from django.db.models import F, Func, Q, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower, Now
from django.urls import reverse

from jobs import notices
from jobs.models import Adapter, Generation, LanguageModel
from workspace import fewshot, prompts, variables
from workspace.models.activity import Activity
from workspace.models.example import Example
from workspace.models.examples import ExampleSetVersion
from workspace.models.immutable import Stale
from workspace.models.people import Team, User
from workspace.prompts import Include, Message, PromptError
from workspace.variables import Variable

PRODUCTION, LATEST = "production", "latest"
MAX_NOTE = 500


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


class Prompt(models.Model):
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
    latest = models.PositiveIntegerField(default=0)  # number of the newest version
    parent = models.ForeignKey(
        "workspace.PromptVersion", on_delete=models.SET_NULL, null=True, related_name="forks", help_text="Forked from."
    )
    favourites = models.ManyToManyField(User, related_name="favourite_prompts", blank=True)
    search = SearchVectorField(null=True, editable=False)
    stamp: str  # where the rows are `stamped`
    version = models.PositiveIntegerField(default=1)  # grows with every change, for notices
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

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
        maybe = rows.filter(messages__icontains=f"{wanted}").exclude(prompt=self.pk).select_related("prompt__team")
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
        when there is a newer one, and PromptError for content that cannot be kept."""
        content = checked_content(self, messages, variables, config, schema, shots)
        with transaction.atomic():
            held = Prompt.objects.select_for_update().get(pk=self.pk)
            if based_on is not None and based_on != held.latest:
                raise Stale(held.versions.select_related("author").get(number=held.latest))
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
        old name. Raises IntegrityError for a name that is taken."""
        with transaction.atomic():
            was = Prompt.objects.select_for_update().get(pk=self.pk).name
            self.change(name=name, description=description, tags=list(tags))
            self.index()
            if was != name:
                if keep_name:
                    PromptAlias.objects.update_or_create(
                        team_id=self.team_id, alias=was[:100], defaults={"prompt": self}
                    )
                Activity.record(self.team_id, by, "renamed", self, note=f"was {was}")

    def change(self, **fields: Any) -> None:
        """Write these fields and no others, raise the notice version and tell the team."""
        Prompt.objects.filter(pk=self.pk).update(version=F("version") + 1, **fields)
        self.refresh_from_db(fields=["version", *fields])
        notices.changed(self.team_id, "prompt", self.pk, self.version)

    def index(self) -> None:
        """Bring the search column up to date."""
        latest = self.versions.filter(number=self.latest).first()
        said = prompts.as_text(latest.messages)[:200_000] if latest else ""
        text = spelled(" ".join([self.name, *self.tags, self.description, said]))
        # Without positions: nothing asks for them, and a third of the size fits into the row.
        vector = Func(SearchVector(Value(text), config="simple"), function="strip", output_field=SearchVectorField())
        Prompt.objects.filter(pk=self.pk).update(search=vector)

    def archive(self, by: User, *, undo: bool = False) -> None:
        """Put the prompt away, or take it back out (IntegrityError if its name was taken since). Nothing is lost."""
        self.change(archived_at=None if undo else Now())
        Activity.record(self.team_id, by, "restored" if undo else "archived", self)


CHECKED = ("messages", "variables", "config", "schema", "shots")


def checked_content(
    prompt: Prompt,
    messages: Any,
    specs: Sequence[Mapping[str, Any]] | None,
    config: Mapping[str, Any] | None,
    schema: Mapping[str, Any] | None,
    shots: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What a version stores, or PromptError: messages that make a prompt, readable variables, includes that are there."""
    checked = prompts.checked_messages(messages)
    if prompt.kind == Prompt.Kind.TEXT and (len(checked) != 1 or checked[0].get("role") != "user"):
        raise PromptError("bad_message", "A text prompt is one text, without roles.")
    texts = included_texts(prompt.team, checked, within=prompt.name)
    used = prompts.variables_in([*checked, *({"content": text} for text in texts.values())])
    declared = variables.declared(specs or (), used)
    from workspace.structured import check_schema  # a library that most requests never need

    return {
        "messages": checked,
        "variables": [variable.to_dict() for variable in declared],
        "config": dict(config or {}),
        "schema": check_schema(schema) if schema else None,
        "shots": fewshot.Shots.from_dict(shots or {}).to_dict(),
    }


def included_texts(team: Team, messages: Sequence[Message], *, within: str = "") -> dict[Include, str]:
    """The texts of the text prompts that `messages` include. Raises PromptError as `included` does."""
    return {include: version.text for include, version in included(team, messages, within=within).items()}


def included(team: Team, messages: Sequence[Message], *, within: str = "") -> dict[Include, PromptVersion]:
    """The versions that `messages` include, found as any other lookup: by label or version.
    Raises PromptError for one that is not there, for a cycle, and for a second level."""
    wanted = prompts.includes_in(messages)
    if not wanted:
        return {}
    named = Prompt.objects.for_team(team).stamped().filter(name__in=[include.name for include in wanted])
    rows = {prompt.name: prompt for prompt in named}
    versions = {}
    for include in wanted:
        if include.name == within:
            raise PromptError("cycle", f"The prompt includes itself ({include}).", [include.name])
        found = rows.get(include.name)
        if found is None:
            raise PromptError(
                "include", f"The prompt includes {include}, which does not exist (any more). Restore it, or take "
                f"{{{{> {include}}}}} out.", [include.name],
            )  # fmt: skip
        number = int(include.which) if include.which.isdigit() else None
        try:
            version = found.find(version=number, label=None if number else include.which or None)
        except PromptVersion.DoesNotExist:
            what = f"version {number}" if number else f"version labelled {include.which or PRODUCTION}"
            raise PromptError("include", f"The included prompt {include.name} has no {what}.", [include.name]) from None
        if found.kind != Prompt.Kind.TEXT:
            raise PromptError("include", f"{include.name} is a chat prompt; only text prompts can be included.",
                              [include.name])  # fmt: skip
        inner = prompts.includes_in(version.messages)
        if any(deeper.name == within for deeper in inner):
            raise PromptError("cycle", f"{include.name} includes {within} in turn: a circle.", [include.name])
        if inner:
            raise PromptError(
                "cycle", f"{include.name} includes {inner[0]} itself; an included prompt may not include others.",
                [include.name],
            )  # fmt: skip
        versions[include] = version
    return versions


@dataclass(frozen=True)
class Found:
    """What a version refers to, looked up once for many inputs: the texts it includes and its examples in order."""

    texts: dict[Include, str]
    examples: list[Example]


@dataclass(frozen=True)
class Rendered:
    """A prompt filled in: what the model is asked, and the examples that were put in."""

    version: PromptVersion
    messages: list[Message]
    examples: list[Example] = field(default_factory=list)


class PromptVersion(models.Model):
    """What a prompt said at one time. Its content never changes (a trigger sees to that); `status` does."""

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        REVIEW = "review", "In review"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Changes asked for"
        PUBLISHED = "published", "Published"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=MAX_NOTE, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)
    messages: models.JSONField[list[Message]] = models.JSONField()
    variables: models.JSONField[list[dict[str, Any]]] = models.JSONField(default=list)
    config: models.JSONField[dict[str, Any]] = models.JSONField(
        default=dict
    )  # model, temperature, ..., and what others put there
    schema: models.JSONField[dict[str, Any] | None] = models.JSONField(null=True)  # JSON Schema of the answer
    examples = models.ForeignKey(ExampleSetVersion, on_delete=models.PROTECT, null=True, related_name="prompt_versions")
    shots: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # fewshot.Shots
    origin = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, related_name="+"
    )  # restored or forked from
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["prompt", "number"], name="prompt_version_once")]

    def __str__(self) -> str:
        return f"{self.prompt.name} v{self.number}"

    def get_absolute_url(self) -> str:
        prompt = self.prompt
        return reverse(
            "prompt_version", kwargs={"team": prompt.team.slug, "prompt_id": prompt.pk, "number": self.number}
        )

    @property
    def text(self) -> str:
        """A text prompt's text."""
        return str(self.messages[0]["content"])

    @property
    def etag(self) -> str:
        """Of the content alone; labels and status are not in it."""
        content = {**self.content(), "examples": str(self.examples_id), "number": self.number}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def content(self) -> dict[str, Any]:
        """What `save_version` takes to say the same again."""
        return {
            "messages": self.messages, "variables": self.variables, "config": self.config, "schema": self.schema,
            "examples": self.examples, "shots": self.shots,
        }  # fmt: skip

    def says(self, **content: Any) -> bool:
        """Whether saving `content` (what `save_version` takes) would say nothing new. Raises PromptError."""
        examples = content.pop("examples", None)
        checked = checked_content(self.prompt, *(content.get(name) for name in CHECKED))
        return examples == self.examples and all(getattr(self, name) == value for name, value in checked.items())

    def settle(self) -> None:
        """Bring `status` up to date with where production points and with what the last review said."""
        if self.labels.filter(name=PRODUCTION).exists():
            status = self.Status.PUBLISHED
        else:
            last = self.reviews.order_by("-pk").first()
            status = self.Status.DRAFT if last is None else self.Status(last.verdict or self.Status.REVIEW)
        PromptVersion.objects.filter(pk=self.pk).update(status=status)
        self.status = status

    def declared(self) -> list[Variable]:
        return [Variable.from_dict(spec) for spec in self.variables]

    def render(
        self,
        values: Mapping[str, Any],
        *,
        placeholders: Mapping[str, Sequence[Message]] | None = None,
        omit: uuid.UUID | None = None,
        count: Any = None,
        found: Found | None = None,
    ) -> Rendered:
        """The messages to send. Values are checked by type; includes and examples are looked up now, or are `found`.

        `placeholders` fills the author's (history, say); `omit` leaves one example out; `count` is a function from
        messages to tokens (a LanguageModel's `prompt_tokens`), by default four characters to a token.
        Raises PromptError.
        """
        found = found or self.look_up()
        texts = found.texts
        used = prompts.variables_in([*self.messages, *({"content": text} for text in texts.values())])
        parsed = variables.parse_values(variables.declared(self.variables, used), values)
        template, chosen = self.messages, []
        filled = dict(placeholders or {})
        if self.examples_id and (at := fewshot.last_question(template)) is not None:
            [question] = prompts.fill([template[at]], parsed, includes=texts)
            query = query_of(template[at], parsed, question)
            asked = prompts.expanded(template[at]["content"], texts)
            chosen = self.choose_examples(query, question=asked, omit=omit, count=count, among=found.examples)
            filled[prompts.EXAMPLES] = [turn for example in chosen for turn in fewshot.pair(example, asked)]
            template = fewshot.with_examples_placeholder(template)
        return Rendered(self, prompts.fill(template, parsed, includes=texts, placeholders=filled), chosen)

    def params(self) -> dict[str, Any]:
        """The sampling parameters that the prompt itself asks for: those in its config, and its schema."""
        asked = Generation.params_in(self.config)
        return {**asked, "json_schema": self.schema} if self.schema else asked

    def ask(
        self,
        values: Mapping[str, Any],
        *,
        author: User,
        model: LanguageModel,
        adapter: Adapter | None = None,
        params: Mapping[str, Any] | None = None,
        purpose: str,
        placeholders: Mapping[str, Sequence[Message]] | None = None,
        omit: uuid.UUID | None = None,
    ) -> Generation:
        """Fill the prompt in and queue the reply, in the caller's transaction. `params` go over the prompt's own.
        Raises PromptError and ConfigError."""
        rendered = self.render(values, placeholders=placeholders, omit=omit, count=model.prompt_tokens)
        return Generation.ask(
            **self.asked(rendered, author=author, model=model, adapter=adapter, params=params, purpose=purpose)
        )

    def asked(
        self,
        rendered: Rendered,
        *,
        author: User,
        model: LanguageModel,
        adapter: Adapter | None = None,
        params: Mapping[str, Any] | None = None,
        purpose: str,
    ) -> dict[str, Any]:
        """What `Generation.request` takes for this version, filled in."""
        return {
            "team": self.prompt.team, "author": author, "purpose": purpose, "model": model, "adapter": adapter,
            "messages": rendered.messages, "params": {**self.params(), **(params or {})}, "prompt_version": self,
        }  # fmt: skip

    def look_up(self) -> Found:
        """The includes and the examples as they are now. Raises PromptError."""
        texts = included_texts(self.prompt.team, self.messages, within=self.prompt.name)
        return Found(texts, self.examples.ordered() if self.examples else [])

    def question(self) -> str:
        """The last user message, its includes put in and its variables left as they are. Raises PromptError."""
        if (at := fewshot.last_question(self.messages)) is None:
            return ""
        texts = included_texts(self.prompt.team, [self.messages[at]], within=self.prompt.name)
        return prompts.expanded(self.messages[at]["content"], texts)

    def choose_examples(
        self,
        query: str,
        *,
        question: str = "",
        omit: uuid.UUID | None = None,
        count: Any = None,
        among: Sequence[Example] | None = None,
    ) -> list[Example]:
        """The examples for one input, out of the version's own unless they are handed in. `question` is the last user
        message, still with its variables."""
        if self.examples is None:
            return []
        shots = fewshot.Shots.from_dict(self.shots)
        return self.examples.choose(shots, query, question=question, omit=omit, count=count, among=among)


def query_of(template: Message, values: Mapping[str, str], filled: Message) -> str:
    """What examples are compared with: the only variable's value, else the whole question."""
    names = prompts.variables_in([template])
    return values[names[0]] if len(names) == 1 else filled["content"]


class PromptAlias(models.Model):
    """Another name under which programs know a prompt, such as OpenAI's `pmpt_...`."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="prompt_aliases")
    alias = models.CharField(max_length=100)
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="aliases")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "alias"], name="prompt_alias_once")]

    def __str__(self) -> str:
        return self.alias
