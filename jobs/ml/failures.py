"""What went wrong, in one word for the program and one sentence for the person. Torch-free."""

from __future__ import annotations

import errno
import json

from jobs.ml.base_model import ModelMissing
from jobs.ml.config import ConfigError
from jobs.ml.data import BadData
from jobs.ml.template import TemplateMismatch

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Diverged(ArithmeticError):
    """The loss ran away."""


class Refused(ValueError):
    """The run cannot be carried out as configured; the message is meant for people."""


def explain(error: Exception) -> tuple[str, str]:
    """(cause, sentence a person can act on)."""
    text = str(error)
    if isinstance(error, OSError) and error.errno in DISK:
        return (
            "disk",
            "The disk is full, so the run could not be saved. Free some space, then resume: what is saved stays.",
        )
    if isinstance(error, ModelMissing):
        return "model_missing", text
    if isinstance(error, BadData | TemplateMismatch | UnicodeDecodeError):
        return "bad_data", text
    if _out_of_memory(error):
        return "oom", "Memory ran out. Lower the maximum length or the batch size, or turn on gradient checkpointing."
    if isinstance(error, Diverged | Refused | ConfigError):
        return "error", text
    if isinstance(error, json.JSONDecodeError | FileNotFoundError):
        return "error", f"The run directory is not complete: {text}."
    return "error", f"Training stopped unexpectedly: {text or type(error).__name__}. The log has the details."


def _out_of_memory(error: Exception) -> bool:
    """torch reports a full GPU with its own class, a full CPU with a bare RuntimeError."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )
