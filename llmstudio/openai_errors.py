"""Errors in the shape OpenAI's clients understand: {"error": {"message", "type", "param", "code"}}.

The handlers and the middleware keep that promise on all of /v1 and /api, also where Django answers by itself. Under
/api/public the same errors leave in Langfuse's shape: {"message", "error"}. This module does not know any endpoint.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from django.views.defaults import page_not_found, server_error

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
LANGFUSE = {  # the names of Langfuse's errors
    400: "InvalidRequestError",
    401: "UnauthorizedError",
    403: "ForbiddenError",
    404: "LangfuseNotFoundError",
    405: "MethodNotAllowedError",
    409: "LangfuseConflictError",
}
SENTENCES = {
    400: "The request could not be read.",
    413: "The request is larger than this server takes.",
    500: "Something went wrong on the server. Its log has the details under this answer's x-request-id.",
}


class Refused(Exception):
    """A request that is answered with an error: the status and a sentence for whoever sent it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.retry_after = status, message, param, code, retry_after

    def body(self) -> dict[str, dict[str, str | None]]:
        return body(self.status, self.message, param=self.param, code=self.code)

    def response(self) -> JsonResponse:
        answer = JsonResponse(self.body(), status=self.status)
        if self.retry_after is not None:
            answer["Retry-After"] = str(self.retry_after)
        return answer


def body(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, dict[str, str | None]]:
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def response(status: int, message: str, *, param: str | None = None, code: str | None = None) -> JsonResponse:
    return JsonResponse(body(status, message, param=param, code=code), status=status)


@sync_and_async_middleware
def middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Give each answer to a program a request id, and turn Django's own error pages there into OpenAI's shape."""
    if iscoroutinefunction(get_response):
        waiting: Callable[[HttpRequest], Awaitable[HttpResponseBase]] = get_response

        async def answer_later(request: HttpRequest) -> HttpResponseBase:
            return _dressed(request, await waiting(request))

        return answer_later

    def answer(request: HttpRequest) -> HttpResponseBase:
        return _dressed(request, get_response(request))

    return answer


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return _for_status(request, 404) if _is_program(request) else page_not_found(request, exception)


def crashed(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    return _for_status(request, 500) if _is_program(request) else server_error(request)


def _dressed(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    if not _is_program(request):
        return answer
    if answer.status_code >= 400 and not answer.headers.get("Content-Type", "").startswith("application/json"):
        page, answer = answer, _for_status(request, answer.status_code)
        if "Allow" in page.headers:
            answer.headers["Allow"] = page.headers["Allow"]
    if request.path.startswith("/api/public/") and answer.status_code >= 400 and isinstance(answer, HttpResponse):
        answer = _as_langfuse(answer)
    answer.headers["x-request-id"] = f"req_{uuid.uuid4().hex}"
    return answer


def _is_program(request: HttpRequest) -> bool:
    return request.path.startswith(("/v1/", "/api/"))


def _as_langfuse(answer: HttpResponse) -> HttpResponse:
    error = json.loads(answer.content)["error"]
    content = {"message": error["message"], "error": LANGFUSE.get(answer.status_code, "InternalServerError")}
    answer.content = json.dumps(content).encode()
    answer.headers.pop("Content-Length", None)
    return answer


def _for_status(request: HttpRequest, status: int) -> JsonResponse:
    sentences = SENTENCES | {
        404: f"There is no {request.method} {request.path} here.",
        405: f"{request.path} does not take {request.method}.",
    }
    return response(status, sentences.get(status) or sentences[400 if status < 500 else 500])
