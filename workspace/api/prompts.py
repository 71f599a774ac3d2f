"""/api/prompts: list, fetch, write and release prompts. Asking a model with one is in runs.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from django.db import IntegrityError, transaction
from django.http import HttpResponse, JsonResponse
from ninja import Query, Router, Schema
from pydantic import Field

from jobs.openai.shapes import Text
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused
from workspace import prompts
from workspace.api.examples import find_examples
from workspace.api.lookup import BIGGEST, answer, find, find_called, find_prompt, fresh
from workspace.api.shapes import (
    LabelMove,
    NewPrompt,
    NewVersion,
    show_fetched,
    show_prompt,
    show_version,
)
from workspace.models import LabelRefused, Prompt, PromptLabel, PromptVersion, Stale
from workspace.prompts import LATEST, PromptError

router = Router(tags=["prompts"])

Name = Annotated[Text, Field(max_length=prompts.MAX_NAME)]


class Filters(Schema):
    folder: Name = ""
    tag: Annotated[list[Text], Field(max_length=20)] = []
    label: Annotated[Text, Field(max_length=36)] = ""
    search: Annotated[Text, Field(max_length=200)] = ""
    after: Name = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class Wanted(Schema):
    version: Annotated[int, Field(ge=1, le=BIGGEST)] | None = None
    label: Annotated[Text, Field(max_length=36)] | None = None
    resolve: Literal["true", "false"] = "true"


class Page(Schema):
    before: Annotated[int, Field(ge=1, le=BIGGEST)] = BIGGEST
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@router.get("/prompts", url_name="prompts")
def list_prompts(request: StudioRequest, query: Query[Filters]) -> JsonResponse:
    """By name. `next` is what `after` takes for the following page; null at the end."""
    rows = Prompt.objects.for_team(request.team).in_folder(query.folder).tagged(*query.tag).search(query.search)
    if query.label and query.label != LATEST:
        rows = rows.filter(labels__name=query.label)
    rows = rows.filter(name__gt=query.after).order_by("name").prefetch_related("labels__version")
    found = list(rows[: query.limit + 1])
    shown = found[: query.limit]
    return JsonResponse(
        {
            "data": [
                show_prompt(prompt, {label.name: label.version.number for label in prompt.labels.all()})
                for prompt in shown
            ],
            "next": shown[-1].name if len(found) > query.limit else None,
        }
    )


@router.post("/prompts", url_name="prompts")
def create_prompt(request: StudioRequest, body: NewPrompt) -> HttpResponse:
    """A new prompt with its first version. A name that is taken is refused with 409."""
    with refusing():
        name = prompts.checked_name(body.name)
        if find_prompt(request.team, name):
            raise _taken(name)
        try:
            with transaction.atomic():
                prompt = Prompt.start(
                    team=request.team, author=request.user, name=name, description=body.description,
                    tags=list(dict.fromkeys(body.tags)), kind="chat" if body.text is None else "text",
                    **_content(request, body),
                )  # fmt: skip
                version = prompt.versions.select_related("prompt").get()
                _label(request, version, body.labels)
        except IntegrityError:
            raise _taken(name) from None
    return _shown(version, status=201)


@router.get("/prompts/{path:name}/versions", url_name="versions")
def list_versions(request: StudioRequest, name: str, query: Query[Page]) -> Any:
    """The newest first. `next` is what `before` takes for the following page."""
    prompt = find_called(request.team, name)
    if prompt is None:
        if find_prompt(request.team, f"{name}/versions"):  # a prompt whose own name ends so
            return get_prompt(request, f"{name}/versions", Wanted())
        raise _missing(name)
    rows = prompt.versions.filter(number__lt=query.before).select_related("author").prefetch_related("labels")
    found = list(rows.order_by("-number")[: query.limit + 1])
    shown = found[: query.limit]
    data = [show_version(version, _labels(prompt, version)) for version in shown]
    return JsonResponse({"data": data, "next": shown[-1].number if len(found) > query.limit else None})


@router.post("/prompts/{path:name}/versions", url_name="versions")
def create_version(request: StudioRequest, name: str, body: NewVersion) -> HttpResponse:
    prompt = find_called(request.team, name)
    if prompt is None:
        raise _missing(name)
    if (body.text is not None) != (prompt.kind == Prompt.Kind.TEXT):
        takes = "text" if prompt.kind == Prompt.Kind.TEXT else "messages"
        raise Refused(400, f"{name} is a {prompt.get_kind_display().lower()} prompt: it takes {takes}.", param=takes)
    with refusing(), transaction.atomic():
        version = prompt.save_version(request.user, based_on=body.based_on, **_content(request, body))
        _label(request, version, body.labels)
    return _shown(version, status=201)


@router.put("/prompts/{path:name}/labels/{label}", url_name="label")
def move_label(request: StudioRequest, name: str, label: str, body: LabelMove) -> HttpResponse:
    """Point a label at a version, away from wherever it pointed."""
    version = find(request.team, name, version=body.version, resolve=False).version
    with refusing():
        PromptLabel.move(version, label, by=request.membership)
    return _shown(version)


@router.delete("/prompts/{path:name}/labels/{label}", url_name="label")
def drop_label(request: StudioRequest, name: str, label: str) -> HttpResponse:
    prompt = find_called(request.team, name)
    if prompt is None:
        raise _missing(name)
    with refusing():
        PromptLabel.drop(prompt, label, by=request.membership)
    return HttpResponse(status=204)


@router.get("/prompts/{path:name}/labels/{label}", url_name="label", include_in_schema=False)
def get_prompt_named_so(request: StudioRequest, name: str, label: str, query: Query[Wanted]) -> HttpResponse:
    """Labels are read with their prompt; a GET here means a prompt whose own name ends so."""
    return get_prompt(request, f"{name}/labels/{label}", query)


@router.get("/prompts/{path:name}", url_name="prompt")
def get_prompt(request: StudioRequest, name: str, query: Query[Wanted]) -> HttpResponse:
    """A version: by number, by label, or the one in production. Send its ETag as If-None-Match to hear only news."""
    resolve = query.resolve == "true"
    fetched = find(request.team, name, version=query.version, label=query.label, resolve=resolve)
    return answer(request, fetched, show_fetched(fetched, resolve=resolve))


@contextmanager
def refusing() -> Iterator[None]:
    """What the models raise, as answers."""
    try:
        yield
    except PromptError as error:
        raise Refused(400, str(error), param=error.names[0] if error.names else None, code=error.code) from None
    except Stale as error:
        raise Refused(409, f"{error} Fetch it, put the two together, and save again.", code="stale") from None
    except LabelRefused as error:
        raise Refused(403, str(error), param="label", code="label_refused") from None


def _content(request: StudioRequest, body: NewVersion) -> dict[str, Any]:
    if (body.messages is None) == (body.text is None):
        raise Refused(400, "Send either messages or text.", param="messages")
    if body.text is not None:
        messages: list[dict[str, Any]] = [{"role": "user", "content": body.text}]
    else:
        messages = [message.model_dump(exclude_none=True) for message in body.messages or ()]
    examples = find_examples(request.team, body.examples.set, body.examples.version) if body.examples else None
    return {
        "messages": messages,
        "variables": [variable.model_dump() for variable in body.variables],
        "config": body.config,
        "schema": body.schema_,
        "examples": examples,
        "shots": body.examples.model_dump(include={"how", "count", "seed", "budget"}) if body.examples else None,
        "note": body.note,
    }


def _label(request: StudioRequest, version: PromptVersion, labels: list[str]) -> None:
    for label in dict.fromkeys(labels):
        PromptLabel.move(version, label, by=request.membership)


def _labels(prompt: Prompt, version: PromptVersion) -> list[str]:
    return sorted(label.name for label in version.labels.all()) + [LATEST] * (version.number == prompt.latest)


def _shown(version: PromptVersion, status: int = 200) -> HttpResponse:
    return JsonResponse(show_fetched(fresh(version), resolve=False), status=status)


def _missing(name: str) -> Refused:
    return Refused(404, f"Prompt not found: '{name[:300]}'", code="not_found")


def _taken(name: str) -> Refused:
    return Refused(409, f"A prompt named {name} exists already. Save a new version of it.", param="name", code="taken")
