"""Placeholder docstring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def depends(request: Any, stamps: Mapping[str, str]) -> None:
    pass
