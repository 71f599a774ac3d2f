"""The web process: HTTP to Django, one websocket per tab to Channels."""

# ruff: noqa: E402 - the imports' order is this module's work: settings, app registry, then what needs it

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmstudio.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()  # before anything that needs the app registry

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import path

from llmstudio.body_limit import BodyLimit
from workspace.api.door import PromptDoor
from workspace.consumers import StudioConsumer

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
