"""The web process: HTTP to Django, one websocket per tab to Channels.

What is loaded at the start stays to the end, so the garbage collector need not look at it again: frozen, and with fewer
but larger rounds for what pages leave behind, a page costs a tenth less and none waits for a round over everything.
"""

# ruff: noqa: E402 - the imports' order is this module's work: settings, app registry, then what needs it

import gc
import multiprocessing
import os
import signal
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmstudio.settings")

from django.core.asgi import get_asgi_application

programs = get_asgi_application()  # before anything that needs the app registry

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.urls import path

from llmstudio.body_limit import BodyLimit
from llmstudio.embedded import signal_at_parents_end
from workspace.api.door import PromptDoor
from workspace.consumers import StudioConsumer


class Pages(ASGIHandler):
    """For views that are synchronous, as those of all pages are. Their middleware then is so too, and a request changes
    threads twice: Django's own way is two changes for each middleware, and each waits for whatever else is running."""

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)
        chain: Any = self._middleware_chain  # type: ignore[has-type]
        self._middleware_chain = self.adapt_method_mode(True, chain, False)


pages = Pages()
# Where asynchronous views wait for answers, and must hold no thread meanwhile; and files, which servestatic reads so.
WAITING = ("/v1/", "/api/", settings.STATIC_URL)


async def http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await (programs if scope["path"].startswith(WAITING) else pages)(scope, receive, send)


# Exact origins: the public address, and without TLS the names under which this machine knows itself.
_local = [] if settings.STUDIO_URL.startswith("https") else settings.ALLOWED_HOSTS
_origins = [settings.STUDIO_URL, *(f"http://{host}:{settings.PORT}" for host in _local)]
_sockets = URLRouter([path("ws/<slug:team>/", StudioConsumer.as_asgi())])  # type: ignore[arg-type, list-item]  # Django's stubs know views only

application = ProtocolTypeRouter(
    {
        "http": PromptDoor(BodyLimit(http)),
        "websocket": OriginValidator(AuthMiddlewareStack(_sockets), _origins),
    }
)

# One of several (WEB_PROCESSES): it must not hold the port when uvicorn's first process has been killed.
if multiprocessing.parent_process():
    signal_at_parents_end(signal.SIGKILL)
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)
