"""Doors for taking prompts in and out."""

from typing import Any

urlpatterns: list[Any] = []
