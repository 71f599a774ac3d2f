"""The web process: HTTP to Django, one websocket per tab to Channels."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmstudio.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()  # before anything that needs the app registry

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import path

from workspace.consumers import StudioConsumer

_origins = [settings.STUDIO_URL, *(f"http://{host}:{settings.PORT}" for host in settings.ALLOWED_HOSTS if not settings.STUDIO_URL.startswith("https"))]

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": OriginValidator(
            AuthMiddlewareStack(URLRouter([path("ws/<slug:team>/", StudioConsumer.as_asgi())])), _origins
        ),
    }
)
