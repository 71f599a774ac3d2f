"""The web process stays small: nothing it imports may pull in the training libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "numpy",
    "pandas",
    "pyarrow",
    "xllamacpp",
    "gguf",
    "safetensors",
}

EVERYTHING_WEB = """
import sys, llmstudio.asgi
from django.urls import get_resolver
get_resolver().url_patterns
from django.template import engines
import workspace.consumers, workspace.accounts
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_the_web_process_imports_no_training_library() -> None:
    """A fresh process, because this one has long imported whatever other tests needed."""
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING_WEB], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert {"django", "workspace", "jobs"} <= imported
    assert not imported & HEAVY
