"""Which Chromium the browser tests drive (.ci/chromium makes sure that there is one)."""

from __future__ import annotations

import shutil


def find() -> str | None:
    """The system's Chromium, or None for Playwright's own."""
    return shutil.which("chromium") or shutil.which("chromium-browser")
