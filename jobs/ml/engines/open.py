"""Choose and open an engine. Libraries are imported only for the one chosen: torch stays out of a llama.cpp worker."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal

from jobs.ml.engines.base import Engine

Kind = Literal["auto", "llama", "transformers", "remote"]


def open_engine(kind: Kind, source: Path | str, *, threads: int | None = None, **options: Any) -> Engine:
    """Open an engine over a base model folder, or (kind "remote") over the URL of an OpenAI-compatible server.

    `threads` bounds the cores a local engine computes on (default: all it may use). Other options are those of the
    engine's constructor; "remote" needs `model`.
    """
    if kind == "auto":
        kind = choose(Path(source))
    match kind:
        case "llama":
            from jobs.ml.engines.llama_engine import LlamaEngine

            return LlamaEngine(Path(source), threads=threads, **options)
        case "transformers":
            from jobs.ml.engines.torch_engine import TorchEngine

            return TorchEngine(Path(source), threads=threads, **options)
        case "remote":
            from jobs.ml.engines.remote_engine import RemoteEngine

            return RemoteEngine(str(source), **options)
    raise ValueError(f"There is no engine called {kind}: use auto, llama, transformers or remote.")


def choose(model_dir: Path) -> Literal["llama", "transformers"]:
    """llama.cpp on a host without a GPU, if it is installed and the folder has a GGUF; else transformers."""
    if Path("/dev/nvidiactl").exists() or not importlib.util.find_spec("xllamacpp"):
        return "transformers"
    return "llama" if (model_dir / "model.gguf").exists() else "transformers"
