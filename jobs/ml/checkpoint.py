"""Folders that are whole or absent: checkpoints and finished adapters on disk.

A folder is written under a temporary name, flushed, listed in `manifest.json` (sizes, SHA-256, what it belongs to) and
renamed into place, so a crash at any moment leaves the old checkpoint, the new one, or an ignorable temporary folder.
Tensors are safetensors, everything else JSON; nothing is ever unpickled.
It does not know what the tensors mean, nor when a checkpoint is due.
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from jobs.ml.base_model import sha256_of

FORMAT = 1
KEEP = 2
Tensors = dict[str, torch.Tensor]


class CheckpointDamaged(ValueError):
    """The folder is not whole, or belongs to another run."""


@dataclass(frozen=True)
class Checkpoint:
    """What a resumed run starts from."""

    path: Path
    adapter: Tensors
    optimizer: Tensors
    state: dict[str, Any]


def versions() -> dict[str, str]:
    """The libraries whose versions decide a run's numbers."""
    return {
        name: importlib.metadata.version(name)
        for name in ("torch", "transformers", "peft", "tokenizers", "safetensors")
    }


def write_folder(target: Path, fill: Callable[[Path], None], facts: dict[str, Any]) -> str:
    """Have `fill` write the files of `target`, then put the folder in place. Returns the manifest's SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        fill(work)
        files = {}
        for path in sorted(p for p in work.iterdir() if p.is_file()):
            path.chmod(0o644)
            _flush(path)
            files[path.name] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
        manifest = work / "manifest.json"
        content = {"format": FORMAT, "versions": versions(), **facts, "files": files}
        manifest.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
        _flush(manifest)
        work.chmod(0o755)
        _flush(work)
        if target.exists():
            shutil.rmtree(target)
        work.rename(target)
        _flush(target.parent)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return sha256_of(target / "manifest.json")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def verify(folder: Path, belongs_to: dict[str, Any] | None = None) -> dict[str, Any]:
    """The manifest of `folder`, after checking every file against it and the run it belongs to."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files = manifest["files"].items()
    except (OSError, json.JSONDecodeError, KeyError, AttributeError, TypeError, UnicodeDecodeError) as error:
        raise CheckpointDamaged(f"{folder.name} has no readable manifest.") from error
    if manifest.get("format") != FORMAT:
        raise CheckpointDamaged(f"{folder.name} was written by another version of this program.")
    for name, expected in (belongs_to or {}).items():
        if manifest.get(name) != expected:
            raise CheckpointDamaged(f"{folder.name} belongs to another run: its {name} differs.")
    for name, entry in files:
        path = folder / name
        if not path.is_file() or path.stat().st_size != entry["size"] or sha256_of(path) != entry["sha256"]:
            raise CheckpointDamaged(f"{folder.name} is damaged: {name} is missing or has changed.")
    return manifest


def save_tensors(tensors: Tensors, path: Path) -> None:
    """As safetensors' own `save_file`, but a full disk is an OSError here as everywhere else."""
    from safetensors import SafetensorError

    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            path,
            metadata={"format": "pt"},
        )
    except SafetensorError as error:
        if code := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
        raise


def save(
    target: Path,
    *,
    adapter: Tensors,
    adapter_config: dict[str, Any],
    optimizer: Tensors,
    state: dict[str, Any],
    facts: dict[str, Any],
) -> str:
    def fill(work: Path) -> None:
        save_tensors(adapter, work / "adapter_model.safetensors")
        save_tensors(optimizer, work / "optimizer.safetensors")
        (work / "adapter_config.json").write_text(
            json.dumps(adapter_config, indent=2, sort_keys=True), encoding="utf-8"
        )
        (work / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")

    return write_folder(target, fill, facts)


def load(folder: Path, belongs_to: dict[str, Any]) -> Checkpoint:
    verify(folder, belongs_to)
    return Checkpoint(
        folder,
        load_file(folder / "adapter_model.safetensors"),
        load_file(folder / "optimizer.safetensors"),
        json.loads((folder / "state.json").read_text(encoding="utf-8")),
    )


def folder_for(run_dir: Path, attempt: int, step: int) -> Path:
    return run_dir / f"attempt-{attempt}" / "checkpoints" / f"step-{step:06d}"


def attempts(run_dir: Path) -> list[int]:
    """The numbers of the attempts that have a folder, in order."""
    names = (re.fullmatch(r"attempt-(\d+)", path.name) for path in run_dir.glob("attempt-*"))
    return sorted(int(name[1]) for name in names if name)


def newest_first(run_dir: Path) -> list[Path]:
    """Checkpoint folders of all attempts, furthest step first. None has been verified."""
    found = []
    for attempt in attempts(run_dir):
        for path in (run_dir / f"attempt-{attempt}" / "checkpoints").glob("step-*"):
            found.append((int(path.name.removeprefix("step-")), attempt, path))
    return [path for _, _, path in sorted(found, reverse=True)]


def prune(run_dir: Path, attempt: int, best: str | None) -> None:
    """Keep the last two checkpoints of this attempt and the best one; clear what a killed attempt left half-written."""
    own = [path for path in newest_first(run_dir) if path.parent.parent.name == f"attempt-{attempt}"]
    for path in own[KEEP:]:
        if str(path.relative_to(run_dir)) != best:
            shutil.rmtree(path)
    for other in attempts(run_dir):
        if other < attempt:
            for path in (run_dir / f"attempt-{other}" / "checkpoints").glob(".step-*"):
                shutil.rmtree(path, ignore_errors=True)


def candidates(run_dir: Path, attempt: int, resume: Path | None) -> list[Path]:
    """Where to look for a start, best first: the checkpoint that was named and all that are no further; the newest if
    neither an attempt nor a checkpoint was named; nothing (from scratch) for a bare attempt."""
    known = newest_first(run_dir)
    if resume:
        named = resume.absolute()
        return [named, *(path for path in known if path.name <= named.name and path.absolute() != named)]
    return [] if attempt else known
