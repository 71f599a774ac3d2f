"""Answers by JSON Schema: is the schema itself usable? Checking an answer against it is jobs/structured.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workspace.prompts import PromptError

MAX_SCHEMA = 20_000  # characters of JSON


def check_schema(schema: Any) -> dict[str, Any]:
    """A schema that can be kept. Raises PromptError."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if not isinstance(schema, Mapping):
        raise PromptError("bad_value", "The answer's schema is a JSON object.", ["schema"])
    if len(json.dumps(schema)) > MAX_SCHEMA:
        raise PromptError("too_long", f"The answer's schema has at most {MAX_SCHEMA:,} characters.", ["schema"])
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise PromptError(
            "bad_value", f"The answer's schema is not JSON Schema: {error.message[:300]}", ["schema"]
        ) from None
    return dict(schema)
