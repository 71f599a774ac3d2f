"""Prompt versions: what a prompt said at one time, filled in and asked. The language is workspace/prompts.py."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.urls import reverse

from jobs.models import Adapter, Generation, LanguageModel
from workspace import fewshot, prompts, variables
from workspace.models.example import Example
from workspace.models.examples import ExampleSetVersion
from workspace.models.includes import CHECKED, checked_content, included_texts
from workspace.models.people import User
from workspace.prompts import MAX_NOTE, PRODUCTION, Include, Message
from workspace.variables import Variable


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
    prompt = models.ForeignKey("workspace.Prompt", on_delete=models.CASCADE, related_name="versions")
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
        used = prompts.variables_in(self.messages, texts.values())
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
