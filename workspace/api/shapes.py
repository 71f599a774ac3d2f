"""What /api takes and gives: the schemas of its prompts and example sets, strict, so that a typing error is an error."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import AfterValidator, ConfigDict, Field

from jobs.openai.shapes import Text
from workspace import prompts
from workspace.api.lookup import BIGGEST, Fetched
from workspace.models import ExampleSet, ExampleSetVersion, Prompt, PromptVersion
from workspace.models.labels import LABEL
from workspace.prompts import LATEST, MAX_NOTE

LABEL_RULE = "A label is 1 to 36 characters: small letters, digits, - _ and dots."


def label_name(label: str) -> str:
    if not LABEL.fullmatch(label):
        raise ValueError(LABEL_RULE)
    if label == LATEST:
        raise ValueError("The label latest follows the newest version by itself.")
    return label


class Strict(Schema):
    model_config = ConfigDict(extra="forbid")


Label = Annotated[str, AfterValidator(label_name)]
Tag = Annotated[Text, Field(min_length=1, max_length=40)]
Number = Annotated[int, Field(ge=1, le=BIGGEST)]


class Message(Strict):
    """{"role", "content"}, or {"type": "placeholder", "name"} for a place that is filled later."""

    role: Literal["system", "user", "assistant"] | None = None
    content: Text | None = None
    type: Literal["placeholder"] | None = None
    name: Text | None = None


class Variable(Strict):
    name: Annotated[Text, Field(max_length=64)]
    type: Literal["text", "long", "number", "choice", "boolean", "date", "list", "json"] = "text"
    required: bool = True
    default: Text = ""
    choices: Annotated[list[Text], Field(max_length=200)] = []
    help: Annotated[Text, Field(max_length=300)] = ""


class Examples(Strict):
    """An example set by its id, and how many of its examples are chosen and how. Without a version: its newest now."""

    set: Annotated[Text, Field(max_length=64)]
    version: Number | None = None
    how: Literal["fixed", "random", "similar", "budget"] = "fixed"
    count: Annotated[int, Field(ge=0, le=64)] = 3
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    budget: Annotated[int, Field(ge=0, le=100_000)] = 500


class NewVersion(Strict):
    """Either `messages`, or the `text` of a text prompt. `based_on` is the version that the author saw: a newer one
    then refuses this one with 409. `labels` are moved to it."""

    messages: Annotated[list[Message], Field(max_length=prompts.MAX_MESSAGES)] | None = None
    text: Text | None = None
    variables: Annotated[list[Variable], Field(max_length=prompts.MAX_VARIABLES)] = []
    config: dict[str, Any] = {}
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    examples: Examples | None = None
    note: Annotated[Text, Field(max_length=MAX_NOTE)] = ""
    labels: Annotated[list[Label], Field(max_length=20)] = []
    based_on: Annotated[int, Field(ge=0, le=BIGGEST)] | None = None


class NewPrompt(NewVersion):
    name: Text
    description: Annotated[Text, Field(max_length=2000)] = ""
    tags: Annotated[list[Tag], Field(max_length=20)] = []


class LabelMove(Strict):
    version: Number


class Sampling(Strict):
    """Over those of the prompt. Bounds are the engine's and named when they are left."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: list[Text] | None = None


class Run(Strict):
    label: Text | None = None
    version: Number | None = None
    variables: Annotated[dict[Text, Any], Field(max_length=200)] = {}
    placeholders: Annotated[dict[Text, list[Message]], Field(max_length=20)] = {}
    model: Text = ""
    params: Sampling = Sampling()
    stream: bool = False


def show_prompt(prompt: Prompt, labels: dict[str, int]) -> dict[str, Any]:
    """In lists: what it is and where its labels are, without what it says."""
    return {
        "id": prompt.pk,
        "name": prompt.name,
        "folder": prompt.folder,
        "type": prompt.kind,
        "description": prompt.description,
        "tags": prompt.tags,
        "version": prompt.latest,
        "labels": {**labels, LATEST: prompt.latest},
        "created_at": prompt.created_at,
        "updated_at": prompt.updated_at,
    }


def show_fetched(fetched: Fetched, *, resolve: bool) -> dict[str, Any]:
    version, prompt = fetched.version, fetched.version.prompt
    messages = fetched.messages if resolve else version.messages
    text = messages[0]["content"] if prompt.kind == Prompt.Kind.TEXT else None
    return {
        "id": prompt.pk,
        "name": prompt.name,
        "folder": prompt.folder,
        "type": prompt.kind,
        "description": prompt.description,
        "tags": prompt.tags,
        "version": version.number,
        "labels": fetched.labels,
        "messages": messages,
        "text": text,
        "variables": version.variables,
        "config": version.config,
        "schema": version.schema,
        "examples": _show_examples(version),
        "includes": [
            {"name": one.prompt.name, "version": one.number, "asked_for": str(include)}
            for include, one in fetched.includes.items()
        ],
        "note": version.note,
        "created_at": version.created_at,
    }


def show_version(version: PromptVersion, labels: list[str]) -> dict[str, Any]:
    return {
        "version": version.number,
        "labels": labels,
        "status": version.status,
        "note": version.note,
        "author": str(version.author),
        "created_at": version.created_at,
    }


def _show_examples(version: PromptVersion) -> dict[str, Any] | None:
    if version.examples is None:
        return None
    return {"set": version.examples.set_id, "version": version.examples.number, **version.shots}


def show_set(found: ExampleSet) -> dict[str, Any]:
    return {
        "id": found.pk,
        "name": found.name,
        "description": found.description,
        "version": found.latest,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }


def show_set_version(version: ExampleSetVersion) -> dict[str, Any]:
    return show_set(version.set) | {
        "version": version.number,
        "note": version.note,
        "examples": [
            {"id": one.pk, "input": one.input, "output": one.output, "values": one.values, "source": one.source_kind}
            for one in version.ordered()
        ],
    }
