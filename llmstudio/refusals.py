"""What a person reads when a request is refused before any view has seen it: too large, too many fields, or unreadable.

Django's own answer to these is one bare line. On /v1 the middleware in llmstudio/openai_errors.py puts it into OpenAI's shape.
"""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400. htmx gets the sentence alone, into the page that is open and keeps what was typed."""
    status, title, sentence = said(exception)
    if request.headers.get("HX-Request") == "true":
        return render(request, "_refused.html", {"sentence": sentence}, status=status)
    return render(request, "400.html", {"title": title, "sentence": sentence}, status=status)


def said(exception: Exception) -> tuple[int, str, str]:
    if isinstance(exception, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 2**20
        return 413, "That is too much at once", (
            f"A form takes at most {limit} MiB of text, and this one held more, so nothing was stored. "
            "Shorten it, or upload the long part as a file."
        )  # fmt: skip
    if isinstance(exception, TooManyFieldsSent):
        most = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
        return 413, "That is too much at once", (
            f"A form takes at most {most:,} fields, and this one had more, so nothing was stored."
        )  # fmt: skip
    return 400, "This request could not be read", "Nothing was stored. Go back, reload the page and try again."
