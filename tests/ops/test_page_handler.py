"""Pages have a handler of their own, for synchronous views; whatever waits asynchronously is under /v1 and /api."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.urls import URLPattern, URLResolver, get_resolver

from llmstudio.asgi import WAITING, Pages, pages


def views(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[tuple[str, object]]:
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from views(pattern.url_patterns, path)
        else:
            yield path, pattern.callback


def test_every_asynchronous_view_is_where_no_thread_is_held_for_it() -> None:
    waiting = [path for path, view in views(get_resolver().url_patterns) if iscoroutinefunction(view)]
    assert waiting and [path for path in waiting if not path.startswith(WAITING)] == []


def test_the_middleware_of_pages_changes_threads_once() -> None:
    assert not any(iscoroutinefunction(each) for each in pages._view_middleware)


def test_nothing_on_the_way_to_a_page_is_asynchronous(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []

    def noted(
        self: ASGIHandler, is_async: bool, method: Any, method_is_async: bool | None = None, *args: Any, **named: Any
    ) -> Any:
        made.append(iscoroutinefunction(method) if method_is_async is None else method_is_async)
        return adapted(self, is_async, method, method_is_async, *args, **named)

    adapted = ASGIHandler.adapt_method_mode
    monkeypatch.setattr(ASGIHandler, "adapt_method_mode", noted)
    Pages()
    assert len(made) > len(settings.MIDDLEWARE) and not any(made)
