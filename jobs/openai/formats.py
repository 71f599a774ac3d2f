"""response_format: plain text, any JSON object, or JSON by a schema. One reading of it for every endpoint that takes one.

What a client gets is what was generated: there is no hidden second try here, as there is on the studio's own pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jobs.structured import schema_problem
from llmstudio.openai_errors import Refused

ANY_OBJECT: dict[str, Any] = {"type": "object"}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def schema_asked(
    answer_format: Mapping[str, Any] | None, *, param: str = "response_format", inside: str = "json_schema"
) -> dict[str, Any] | None:
    """The JSON Schema that `answer_format` asks for, or None for text. Chat completions put name and schema `inside` it,
    the Responses API nowhere deeper (""). Raises Refused, which names `param`."""
    if not answer_format or answer_format.get("type") == "text":
        return None
    kind = answer_format.get("type")
    if kind == "json_object":
        return ANY_OBJECT
    if kind != "json_schema":
        raise Refused(
            400, f"{param}.type is text, json_object or json_schema.", param=f"{param}.type", code="unsupported_value"
        )
    spec, where = (answer_format.get(inside), f"{param}.{inside}") if inside else (answer_format, param)
    if not isinstance(spec, Mapping) or not isinstance(name := spec.get("name"), str) or not NAME.fullmatch(name):
        message = f"{where} needs a name of at most 64 letters, digits, underscores and dashes."
        raise Refused(400, message, param=f"{where}.name", code="invalid_value")
    schema = spec.get("schema", ANY_OBJECT)
    if problem := schema_problem(schema):
        raise Refused(400, problem, param=f"{where}.schema", code="invalid_json_schema")
    return dict(schema)
