"""Errors in the shape OpenAI's clients understand: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from django.http import JsonResponse

TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error", 429: "rate_limit_error"}


def body(status: int, message: str, *, param: str | None = None, code: str | None = None) -> dict[str, dict[str, str | None]]:
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def response(status: int, message: str, *, param: str | None = None, code: str | None = None) -> JsonResponse:
    return JsonResponse(body(status, message, param=param, code=code), status=status)
