"""The doors for programs: /v1 in OpenAI's paths and shapes, /api in our own, /api/public in Langfuse's.

Puts the routers together and turns every refusal into an error of one shape. Who may do what is in llmstudio/policy.py.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from jobs.openai import chat, files, finetuning, models, records
from llmstudio import openai_errors
from llmstudio.openai_errors import Refused
from workspace.api import examples, prompts, responses, runs
from workspace.api import langfuse as langfuse_prompts
from workspace.models import Archived

v1 = NinjaAPI(title="LLM Studio", version="1", urls_namespace="v1", openapi_url=None, docs_url=None)
for part in (models, chat, files, finetuning, records, responses):
    v1.add_router("", part.router)

api = NinjaAPI(
    title="LLM Studio",
    description="Prompts and example sets. Send your API key as `Authorization: Bearer sk-...`.",
    version="1",
    urls_namespace="api",
    openapi_url=None,
    docs_url=None,
)
for part in (runs, prompts, examples):  # in this order: a prompt's name takes up all of an address that is left
    api.add_router("", part.router)

langfuse = NinjaAPI(
    title="LLM Studio in Langfuse's words", version="2", urls_namespace="langfuse", openapi_url=None, docs_url=None
)
langfuse.add_router("", langfuse_prompts.router)


def openapi(request: HttpRequest) -> JsonResponse:
    """What /api takes and gives, for those who generate clients. It holds nothing of any team."""
    return JsonResponse(api.get_openapi_schema(path_prefix="/api/"))


def refused(request: HttpRequest, error: Any) -> HttpResponse:
    answer: HttpResponse = error.response()
    return answer


def invalid(request: HttpRequest, error: Any) -> HttpResponse:
    """OpenAI answers 400, about one parameter; pydantic finds all of them, so the first is told."""
    first = error.errors[0]
    param = _parameter(first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return openai_errors.response(400, f"{param}: {message}" if param else message, param=param, code="invalid_value")


def http_error(request: HttpRequest, error: Any) -> HttpResponse:
    """Ninja's own: a body that is not JSON."""
    return openai_errors.response(error.status_code, f"{error.message}.".replace("..", "."))


def archived(request: HttpRequest, error: Any) -> HttpResponse:
    """Put away between the lookup and the change."""
    return openai_errors.response(409, str(error), code="archived")


def too_big(request: HttpRequest, error: Any) -> HttpResponse:
    return openai_errors.response(413, openai_errors.SENTENCES[413])


for door in (v1, api, langfuse):
    door.add_exception_handler(Refused, refused)
    door.add_exception_handler(ValidationError, invalid)
    door.add_exception_handler(HttpError, http_error)
    door.add_exception_handler(Archived, archived)
    door.add_exception_handler(RequestDataTooBig, too_big)


def _parameter(loc: tuple[str | int, ...]) -> str | None:
    """("body", "body", "messages", 0, "role") is messages[0].role to whoever sent it."""
    names = loc[2:] if loc[:1] == ("body",) and len(loc) > 1 else loc[1:]
    names = tuple(name for name in names if name != "str" and "[" not in str(name))  # pydantic's word for what it tried
    text = "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names)
    return text.removeprefix(".") or None
