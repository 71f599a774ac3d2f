"""Doors of what people do together: comments, notifications, activity."""

from typing import Any

urlpatterns: list[Any] = []
