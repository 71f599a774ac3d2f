"""/v1, the door for programs: OpenAI's paths and shapes over the studio's own objects.

Puts the routers together and turns every refusal into OpenAI's error. Who may do what is in llmstudio/policy.py.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from jobs.openai import chat, files, finetuning, models, records
from llmstudio import openai_errors
from llmstudio.openai_errors import Refused

api = NinjaAPI(title="LLM Studio", version="1", urls_namespace="v1", openapi_url=None, docs_url=None)
for part in (models, chat, files, finetuning, records):
    api.add_router("", part.router)


@api.exception_handler(Refused)
def refused(request: HttpRequest, error: Any) -> HttpResponse:
    answer: HttpResponse = error.response()
    return answer


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: Any) -> HttpResponse:
    """OpenAI answers 400, about one parameter; pydantic finds all of them, so the first is told."""
    first = error.errors[0]
    param = _parameter(first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return openai_errors.response(400, f"{param}: {message}" if param else message, param=param, code="invalid_value")


@api.exception_handler(HttpError)
def http_error(request: HttpRequest, error: Any) -> HttpResponse:
    """Ninja's own: a body that is not JSON."""
    return openai_errors.response(error.status_code, f"{error.message}.".replace("..", "."))


@api.exception_handler(RequestDataTooBig)
def too_big(request: HttpRequest, error: Any) -> HttpResponse:
    return openai_errors.response(413, openai_errors.SENTENCES[413])


def _parameter(loc: tuple[str | int, ...]) -> str | None:
    """("body", "body", "messages", 0, "role") is messages[0].role to whoever sent it."""
    names = loc[2:] if loc[:1] == ("body",) and len(loc) > 1 else loc[1:]
    text = "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names)
    return text.removeprefix(".") or None
