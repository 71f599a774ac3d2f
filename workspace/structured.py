"""The schema of a prompt's answers: is it usable? What usable means is jobs/structured.py, where answers are checked by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.structured import schema_problem
from workspace.prompts import PromptError


def check_schema(schema: Any) -> dict[str, Any]:
    """A schema that can be kept. Raises PromptError."""
    if not isinstance(schema, Mapping):
        raise PromptError("bad_value", "The answer's schema is a JSON object.", ["schema"])
    kept = dict(schema)
    if problem := schema_problem(kept):
        raise PromptError("bad_value", problem, ["schema"])
    return kept
