"""/api/public: prompts in the paths, shapes and words of Langfuse's public API, so that its clients work unchanged.

The secret key is ours (`sk-...`), the public key may be anything. Only prompts are here; what else a Langfuse client
sends (traces, scores) meets a 404, which it reports and survives. Errors get Langfuse's shape in openai_errors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from django.db import IntegrityError, transaction
from django.http import HttpResponse, JsonResponse
from ninja import Query, Router, Schema
from pydantic import AfterValidator, Field

from jobs.openai.shapes import Text
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused
from workspace import prompts
from workspace.api import metas
from workspace.api.lookup import BIGGEST, Fetched, answer, find, find_called, find_prompt, fresh
from workspace.api.shapes import Strict, Tag
from workspace.interchange.langfuse import REFERENCE, include_of, with_references
from workspace.models import LabelRefused, Prompt, PromptLabel, PromptVersion
from workspace.models.labels import LABEL, check_archivable
from workspace.prompts import LATEST, MAX_NOTE, PRODUCTION, Message, PromptError

router = Router()

MAX_LABELS = MAX_TAGS = 20
LABEL_RULE = "Label must be lowercase alphanumeric with optional underscores, hyphens, or periods"


def label_name(label: str) -> str:
    if not LABEL.fullmatch(label):
        raise ValueError(LABEL_RULE)
    return label


Label = Annotated[str, AfterValidator(label_name)]


class ChatMessage(Schema):
    """A message or, with type "placeholder" and a name, the place for some. Other fields are not kept."""

    type: Text | None = None
    name: Text | None = None
    role: Text | None = None
    content: Text | None = None


class NewPrompt(Strict):
    name: Text
    type: Literal["chat", "text"] = "text"
    prompt: Text | Annotated[list[ChatMessage], Field(max_length=prompts.MAX_MESSAGES)]
    config: dict[str, Any] | None = None
    labels: Annotated[list[Label], Field(max_length=MAX_LABELS)] | None = None
    tags: Annotated[list[Tag], Field(max_length=MAX_TAGS)] | None = None
    commitMessage: Annotated[Text, Field(max_length=MAX_NOTE)] | None = None


class NewLabels(Strict):
    newLabels: Annotated[list[Label], Field(max_length=MAX_LABELS)]


class Wanted(Schema):
    """Which version; 0 and empty are as good as nothing."""

    version: Annotated[int, Field(ge=-BIGGEST, le=BIGGEST)] | None = None
    label: Text | None = None


class WantedSo(Wanted):
    resolve: Literal["true", "false"] = "true"


@router.get("/v2/prompts", url_name="prompts")
def list_prompts(request: StudioRequest, query: Query[metas.Filters]) -> dict[str, Any]:
    return metas.page(request.team, query)


@router.post("/v2/prompts", url_name="prompts")
def create_prompt(request: StudioRequest, body: NewPrompt) -> HttpResponse:
    """A new prompt, or the next version of the one with this name."""
    try:
        with transaction.atomic():
            version = _save(request, body)
            for label in dict.fromkeys(body.labels or ()):
                if label != LATEST:
                    PromptLabel.move(version, label, by=request.membership)
    except PromptError as error:
        raise Refused(400, str(error), code=error.code) from None
    except LabelRefused as error:
        raise Refused(403, str(error)) from None
    except IntegrityError:
        raise Refused(409, f"Someone else has just made the prompt '{body.name}'. Send it again.") from None
    return JsonResponse(show(fresh(version), resolve=False), status=201)


@router.get("/v2/prompts/{path:name}/versions/{int:version}", url_name="version")
def get_prompt_named_so(request: StudioRequest, name: str, version: int, query: Query[WantedSo]) -> HttpResponse:
    """Only PATCH has this address; a GET means a prompt whose own name ends like it."""
    return get_prompt(request, f"{name}/versions/{version}", query)


@router.patch("/v2/prompts/{path:name}/versions/{int:version}", url_name="version")
def update_labels(request: StudioRequest, name: str, version: int, body: NewLabels) -> dict[str, Any]:
    """Put labels on a version, off any other; those it has, it keeps."""
    if LATEST in body.newLabels:
        raise Refused(400, "Label 'latest' is always assigned to the latest prompt version", param="newLabels")
    missing = Refused(404, f"Prompt '{name[:300]}' version {version} not found in project", code="not_found")
    prompt = find_called(request.team, name)
    if prompt is None or version > BIGGEST:
        raise missing
    try:
        found = prompt.find(version=version)
        with transaction.atomic():
            for label in dict.fromkeys(body.newLabels):
                PromptLabel.move(found, label, by=request.membership)
    except PromptVersion.DoesNotExist:
        raise missing from None
    except LabelRefused as error:
        raise Refused(403, str(error)) from None
    return show(fresh(found), resolve=False)


@router.get("/v2/prompts/{path:name}", url_name="prompt")
def get_prompt(request: StudioRequest, name: str, query: Query[WantedSo]) -> HttpResponse:
    resolve = query.resolve == "true"
    found = find(request.team, name, version=query.version, label=query.label, resolve=resolve)
    return answer(request, found, show(found, resolve=resolve))


@router.delete("/v2/prompts/{path:name}", url_name="prompt")
def delete_prompt(request: StudioRequest, name: str, query: Query[Wanted]) -> HttpResponse:
    """The prompt is put away, and its page can bring it back. Single versions are kept for good."""
    if query.version or query.label:
        raise Refused(400, "Versions are kept for good here: only the whole prompt can be deleted.")
    prompt = find_prompt(request.team, name)
    if prompt is None:
        raise Refused(404, "Prompt not found", code="not_found")
    try:
        check_archivable([prompt], request.membership)
    except LabelRefused as error:
        raise Refused(403, str(error)) from None
    prompt.archive(request.user)
    return HttpResponse(status=204)


@router.get("/projects", url_name="projects")
def projects(request: StudioRequest) -> dict[str, Any]:
    """The key's team; clients ask for it to see whether a key is good."""
    team = {"id": str(request.team.pk), "name": request.team.name}
    return {"data": [{**team, "metadata": {}, "organization": team}]}


def _save(request: StudioRequest, body: NewPrompt) -> PromptVersion:
    if isinstance(body.prompt, str) != (body.type == "text"):
        wants = "a string" if body.type == "text" else "a list of messages"
        raise Refused(400, f"The prompt of type {body.type} is {wants}.", param="prompt")
    name = prompts.checked_name(body.name)
    content: dict[str, Any] = {
        "messages": _ours(body.prompt), "config": body.config or {}, "note": body.commitMessage or "",
    }  # fmt: skip
    _tell_apart(content["messages"])
    tags = None if body.tags is None else list(dict.fromkeys(body.tags))
    prompt = find_prompt(request.team, name)
    if prompt is None:
        prompt = Prompt.start(
            team=request.team, author=request.user, name=name, kind=body.type, tags=tags or (), **content
        )
        return prompt.versions.get()
    if prompt.kind != body.type:
        raise Refused(
            400,
            "Previous versions have different prompt type. Create a new prompt with a different name.",
            param="type",
        )
    latest = prompt.find(label=LATEST)
    carried = {"variables": latest.variables, "schema": latest.schema, "examples": latest.examples}
    if tags is not None and tags != prompt.tags:
        prompt.change(tags=tags)
    return prompt.save_version(request.user, based_on=None, shots=latest.shots, **carried, **content)


def _tell_apart(messages: Sequence[Message]) -> None:
    """Langfuse's clients fill variables and placeholders from the same arguments."""
    places = [message["name"] for message in messages if message.get("type") == "placeholder"]
    used = prompts.variables_in([message for message in messages if message.get("content")])
    if both := sorted(set(used) & set(places)):
        raise Refused(
            400,
            "Cannot create prompt, variables and placeholders must be unique, "
            f"the following are not: {', '.join(both)}",
            param="prompt",
        )


def _ours(prompt: str | Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """As the studio keeps messages. Langfuse's tags for other prompts become includes."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": REFERENCE.sub(_include, prompt)}]
    return [
        {"type": "placeholder", "name": message.name}
        if message.type == "placeholder"
        else {"role": "system" if message.role == "developer" else message.role, "content": _included(message.content)}
        for message in prompt
    ]


def _included(content: str | None) -> str | None:
    return None if content is None else REFERENCE.sub(_include, content)


def _include(reference: re.Match[str]) -> str:
    """What cannot be read stays as it is, as it does at Langfuse."""
    include = include_of(reference)
    return reference[0] if include is None else f"{{{{> {include}}}}}"


def show(found: Fetched, *, resolve: bool = True) -> dict[str, Any]:
    version, prompt = found.version, found.version.prompt
    messages = found.messages if resolve else with_references(version.messages)
    return {
        "id": version.pk,
        "createdAt": version.created_at,
        "updatedAt": prompt.updated_at,
        "projectId": prompt.team_id,
        "createdBy": version.author_id,
        "prompt": messages[0]["content"] if prompt.kind == Prompt.Kind.TEXT else messages,
        "name": prompt.name,
        "version": version.number,
        "type": prompt.kind,
        "isActive": PRODUCTION in found.labels,
        "config": version.config,
        "tags": prompt.tags,
        "labels": found.labels,
        "commitMessage": version.note or None,
        "resolutionGraph": _graph(found),
    }


def _graph(found: Fetched) -> dict[str, Any] | None:
    if not found.includes:
        return None
    root = found.version
    return {
        "root": {"id": root.pk, "name": root.prompt.name, "version": root.number},
        "dependencies": {
            str(root.pk): [
                {"id": version.pk, "name": version.prompt.name, "version": version.number}
                for version in found.includes.values()
            ]
        },
    }
