"""What can answer: base models, and the adapters trained on them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.urls import reverse
from django.utils import timezone

from jobs import happenings
from jobs.models.worker import Worker
from jobs.secrets import seal, unseal


class LanguageModelQuerySet(models.QuerySet["LanguageModel"]):
    def for_team(self, team: Any) -> Self:
        """Models everyone has, and those added by this team."""
        return self.filter(models.Q(team=None) | models.Q(team=team), enabled=True)

    def trainable(self) -> Self:
        return self.filter(kind=LanguageModel.Kind.LOCAL)


class LanguageModel(models.Model):
    """A base model: a prepared local folder, or a name on an OpenAI-compatible server."""

    class Kind(models.TextChoices):
        LOCAL = "local", "On this machine"
        REMOTE = "remote", "OpenAI-compatible server"

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey("workspace.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="models")
    key = models.SlugField(max_length=80, unique=True)  # the id on /v1/models
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.LOCAL)
    folder = models.CharField(max_length=200, blank=True, help_text="Under the models folder.")
    url = models.URLField(blank=True)
    url_model = models.CharField(max_length=200, blank=True, help_text="The model's name on that server.")
    url_key = models.TextField(blank=True, help_text="Encrypted.")
    parameters = models.BigIntegerField(default=0)
    context_length = models.PositiveIntegerField(default=4096)
    licence = models.CharField(max_length=60, blank=True)
    template_hash = models.CharField(max_length=64, blank=True)
    weights_sha256 = models.CharField(max_length=64, blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = LanguageModelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def is_for(self, team_id: Any) -> bool:
        """Whether it is among those `for_team`, as far as this row knows."""
        return self.enabled and self.team_id in (None, team_id)

    @property
    def path(self) -> Path:
        return Path(settings.STUDIO_MODELS) / self.folder

    def secret(self) -> str:
        """The key that its server wants, in the clear. Sealed (ValueError) if it was stored under another FIELD_KEY."""
        return unseal(self.url_key)

    def point_at(self, url: str, *, key: str = "") -> None:
        """Set the server's address. A new address never gets the key that was meant for the old one."""
        if key or url != self.url:
            self.url_key = seal(key)
        self.url = url

    def room(self, workers: Iterable[Worker] | None = None) -> int:
        """Tokens one conversation may take as it is served now: a worker may give it less than it could read. `workers`
        are those alive, from whoever has asked for them already."""
        alive = Worker.objects.alive().filter(kind="infer") if workers is None else workers
        served: list[int | None] = [worker.facts.get("context", {}).get(self.key) for worker in alive]
        return min([self.context_length, *(tokens for tokens in served if tokens)])

    def constrains(self) -> bool | None:
        """Whether its engine keeps an answer to a JSON Schema while it is written; None while no worker has it open.
        Answers are checked afterwards in any case."""
        workers = Worker.objects.alive().filter(kind="infer")
        known = [
            worker.facts["constrains"][self.key] for worker in workers if self.key in worker.facts.get("constrains", {})
        ]
        return all(known) if known else None

    def prompt_tokens(self, messages: list[dict[str, str]]) -> int | None:
        """How many tokens this model reads before it answers; None where the tokenizer is on another server."""
        if self.kind != self.Kind.LOCAL:
            return None
        from jobs.ml.template import load_template  # the tokenizer library is only loaded where it is needed

        return len(load_template(str(self.path)).prompt_ids(messages))

    def count_tokens(self, messages: list[dict[str, str]]) -> int:
        """As `prompt_tokens`, but always a number: without the tokenizer it is the field's rule of thumb, four
        characters to a token."""
        try:
            tokens = self.prompt_tokens(messages)
        except OSError:  # its folder is not on this machine
            tokens = None
        return tokens if tokens is not None else sum(len(message["content"]) for message in messages) // 4


class AdapterQuerySet(models.QuerySet["Adapter"]):
    def for_team(self, team: Any) -> Self:
        return self.filter(team=team, archived_at=None).select_related("base", "team")


class Adapter(models.Model):
    """LoRA weights in PEFT layout, tied to the base and the template they were trained with."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey("workspace.Team", on_delete=models.CASCADE, related_name="adapters")
    base = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="adapters")
    name = models.CharField(max_length=80)
    suffix = models.SlugField(max_length=64, blank=True)
    folder = models.CharField(max_length=300, help_text="Under the runs folder.")
    sha256 = models.CharField(max_length=64, help_text="Of its manifest.")
    template_hash = models.CharField(max_length=64)
    rank = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = AdapterQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("models", kwargs={"team": self.team.slug})

    def archive(self, by: Any, *, undo: bool = False) -> None:
        """Out of the lists and of /v1/models, or back again. Its files and its run stay."""
        self.archived_at = None if undo else timezone.now()
        with transaction.atomic():
            self.save(update_fields=["archived_at"])
            happenings.tell(self, "restored" if undo else "archived", by.pk)

    @property
    def key(self) -> str:
        """Its id on /v1/models, in OpenAI's form."""
        return f"ft:{self.base.key}:{self.team.slug}:{self.suffix}:{self.pk.hex[:8]}"

    @property
    def path(self) -> Path:
        return Path(settings.STUDIO_RUNS) / self.folder
