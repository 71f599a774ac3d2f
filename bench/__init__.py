"""Benches: each claim of docs/performance.md with its peer, in one run. This file holds what they share."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any


def report(result: dict[str, Any], out: Path | None) -> None:
    """Print a result as JSON, with the machine it was measured on, and keep it in `out`."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, CPython {platform.python_version()}"
    text = json.dumps({"machine": machine, **result}, indent=2)
    print(text)
    if out:
        out.write_text(text + "\n")
