"""Folders that a row points at: are they still what the row knows? Torch-free, unlike the trainer's own check."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from jobs.ml.base_model import sha256_of


def manifest_is(folder: Path, sha256: str) -> bool:
    """Whether the folder's manifest is the one that was written. What it lists is checked by whoever loads it."""
    try:
        return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def is_whole(folder: Path, sha256: str) -> bool:
    """Whether every file of the folder is the one that was written."""
    if not manifest_is(folder, sha256):
        return False
    files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    try:
        return all(sha256_of(folder / name) == entry["sha256"] for name, entry in files.items())
    except OSError:
        return False
