"""A reply: what was asked, of what, and what came of it. Chat, the API and probes all use it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models.functions import Now

from jobs import structured
from jobs.ml.config import SamplingParams
from jobs.models.lifecycle import Job, JobQuerySet, State
from jobs.tasks import ring_on_commit
from jobs.texts import storable

if TYPE_CHECKING:
    from jobs.models.catalogue import Adapter, LanguageModel

SCHEMA_SHOWN = 4000  # characters of a schema that a repair repeats to the model


class GenerationQuerySet(JobQuerySet):
    def request_cancel(self) -> int:
        """Stop these, and the repairs of them that are under way."""
        ids = list(self.values_list("pk", flat=True))
        both = Generation.objects.filter(models.Q(pk__in=ids) | models.Q(repairs__in=ids))
        return super(GenerationQuerySet, both).request_cancel()

    def snapshot(self, generations: Sequence[Generation]) -> set[UUID]:
        """Save what each has said so far and renew its lease, all in one fenced UPDATE. Returns those still held."""
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE jobs_generation AS row SET
                    text = now.text, sequence_number = now.sequence_number, prompt_tokens = now.prompt_tokens,
                    completion_tokens = now.completion_tokens, first_token_ms = now.first_token_ms,
                    lease_until = clock_timestamp() + %s::interval
                FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::int[], %s::int[], %s::int[], %s::int[])
                    AS now(id, fence, text, sequence_number, prompt_tokens, completion_tokens, first_token_ms)
                WHERE row.id = now.id AND row.fence = now.fence AND row.state IN ('running', 'pausing')
                RETURNING row.id
                """,
                [
                    str(Generation.LEASE),
                    [generation.pk for generation in generations],
                    [generation.fence for generation in generations],
                    [generation.text for generation in generations],
                    [generation.sequence_number for generation in generations],
                    [generation.prompt_tokens for generation in generations],
                    [generation.completion_tokens for generation in generations],
                    [generation.first_token_ms for generation in generations],
                ],
            )
            return {row[0] for row in cursor.fetchall()}


class Generation(Job):
    """One reply. While it runs its pieces are in the token log (jobs/tokenlog) and a snapshot is here at least every
    second; at the end `text` and `text_sha256` here are the authority."""

    LEASE: ClassVar[timedelta] = timedelta(seconds=8)  # a dead worker must show within 15 s
    WITH: ClassVar[tuple[str, ...]] = ("model", "adapter")
    MAX_ATTEMPTS: ClassVar[int] = 1  # a lost reply keeps its text and is continued by a person, never silently redone

    class Purpose(models.TextChoices):
        CHAT = "chat", "Chat"
        API = "api", "API"
        CELL = "cell", "Playground cell"

    team = models.ForeignKey("workspace.Team", on_delete=models.CASCADE, related_name="generations")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    purpose = models.CharField(max_length=10, choices=Purpose.choices, default=Purpose.CHAT)
    model = models.ForeignKey("jobs.LanguageModel", on_delete=models.PROTECT, related_name="+")
    adapter = models.ForeignKey("jobs.Adapter", on_delete=models.SET_NULL, null=True, related_name="+")
    messages: models.JSONField[list[dict[str, str]]] = models.JSONField()
    params: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)  # SamplingParams fields
    prefill = models.TextField(blank=True, help_text="The part of the answer already written, when it is continued.")
    text = models.TextField(blank=True, help_text="The whole answer, prefill included.")
    sequence_number = models.PositiveIntegerField(default=0, help_text="The last token-log entry inside `text`.")
    text_sha256 = models.CharField(max_length=64, blank=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    first_token_ms = models.PositiveIntegerField(null=True)
    total_ms = models.PositiveIntegerField(null=True)
    finish_reason = models.CharField(max_length=20, blank=True)
    prompt_version = models.ForeignKey(
        "workspace.PromptVersion", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    schema_problem = models.TextField(blank=True, help_text="Why the answer is not JSON by its schema; empty if it is.")
    repairs = models.OneToOneField(
        "self", on_delete=models.SET_NULL, null=True, related_name="repair", help_text="The answer this one puts right."
    )

    objects = GenerationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["queued_at"], condition=models.Q(state="queued"), name="generation_queue"),
            models.Index(
                fields=["lease_until"], condition=models.Q(state__in=["running", "pausing"]), name="generation_leases"
            ),
            models.Index(fields=["team", "-queued_at"]),
        ]

    def __str__(self) -> str:
        return f"Generation {self.pk}"

    @classmethod
    def request(
        cls,
        *,
        team: Any,
        author: Any,
        purpose: str,
        model: LanguageModel,
        adapter: Adapter | None,
        messages: list[dict[str, str]],
        params: dict[str, Any],
        prefill: str = "",
        prompt_version: Any = None,
    ) -> Generation:
        """A reply to queue, checked but not stored yet. `params` are fields of SamplingParams; `prefill` is what is
        already written of the answer, to go on from. A ConfigError names a parameter out of bounds."""
        if SamplingParams.from_dict(params).json_schema is not None:
            structured.check_schema(params["json_schema"])
        return cls(
            team=team,
            author=author,
            purpose=purpose,
            model=model,
            adapter=adapter,
            messages=messages,
            params=params,
            prefill=prefill,
            text=prefill,
            prompt_version=prompt_version,
        )

    @classmethod
    def ask(cls, **asked: Any) -> Generation:
        """Queue one reply in the caller's transaction; `asked` is what `request` takes. Raises ConfigError."""
        generation = cls.request(**asked)
        generation.save(force_insert=True)
        ring_on_commit("infer")
        return generation

    @classmethod
    def ask_all(cls, requests: Sequence[Generation]) -> None:
        """Queue many replies in the caller's transaction, to be answered in this order, with one doorbell."""
        for place, generation in enumerate(requests):
            generation.queued_at = Now() + timedelta(microseconds=place)
        Generation.objects.bulk_create(requests, batch_size=500)
        ring_on_commit("infer")

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON Schema that its answer is to follow, if any."""
        schema: dict[str, Any] | None = self.params.get("json_schema")
        return schema

    @property
    def is_structured(self) -> bool | None:
        """Whether its answer is JSON by its schema; None where none was asked for, or it has not answered in full."""
        return None if self.schema is None or self.state != State.SUCCEEDED else not self.schema_problem

    @property
    def latest(self) -> Generation:
        """The one whose answer counts: its repair where one was asked for, else itself. Lists read it without a query
        each after `select_related("generation__repair")`."""
        return (getattr(self, "repair", None) if self.schema_problem else None) or self

    def check_answer(self, text: str, finish_reason: str) -> str:
        """Why `text` is not JSON by the schema that was asked for; empty if it is, or none was."""
        if self.schema is None:
            return ""
        cut_off_at = self.completion_tokens if finish_reason == "length" else 0
        return storable(structured.check(text, self.schema, cut_off_at=cut_off_at).problem)

    def conclude(self, state: State, **fields: Any) -> None:
        """`finish`, and in the same transaction ask for the repair of an answer with a `schema_problem`."""
        with transaction.atomic():
            self.finish(state, **fields)
            self.ask_repair()

    def ask_repair(self) -> Generation | None:
        """Ask once more for an answer that is not JSON by its schema, telling the model what is wrong. One repair and no
        more; none for programs, which get what was generated and decide for themselves."""
        if not self.schema_problem or self.repairs_id or self.purpose == self.Purpose.API:
            return None
        schema = json.dumps(self.schema, ensure_ascii=False)
        what = f"This is not the JSON that was asked for. {self.schema_problem}"
        by = f" It must follow this JSON Schema: {schema}" if len(schema) <= SCHEMA_SHOWN else ""
        repair = Generation.objects.create(
            team_id=self.team_id, author_id=self.author_id, purpose=self.purpose, model_id=self.model_id,
            adapter_id=self.adapter_id, prompt_version_id=self.prompt_version_id, params=self.params, repairs=self,
            messages=[
                *self.messages,
                {"role": "assistant", "content": self.text},
                {"role": "user", "content": f"{what} Answer again, with the JSON and nothing else.{by}"},
            ],
        )  # fmt: skip
        ring_on_commit("infer")
        return repair

    @staticmethod
    def params_in(config: Mapping[str, Any]) -> dict[str, Any]:
        """The sampling parameters among other things, such as a prompt's config. They are checked when asked with."""
        known = {field.name for field in dataclasses.fields(SamplingParams)} - {"json_schema"}
        return {name: value for name, value in config.items() if name in known}

    @property
    def tokens_per_second(self) -> float | None:
        """Of the decoding alone: the first token's wait is shown beside it."""
        if not self.total_ms or self.first_token_ms is None or self.completion_tokens < 2:
            return None
        seconds = max(self.total_ms - self.first_token_ms, 1) / 1000
        return (self.completion_tokens - 1) / seconds
