"""Picoschema, Dotprompt's short way to write a JSON Schema: `name?: string, who it is` and `tags(array): string`."""

from __future__ import annotations

import re
from typing import Any

from workspace.interchange.drafts import Refused

SCALARS = ("string", "number", "integer", "boolean", "null")
KEY = re.compile(r"(?P<name>[^()?]+)(?P<optional>\?)?(?:\((?P<kind>array|object|enum)(?:,\s*(?P<said>.*))?\))?$", re.S)


def to_schema(pico: Any) -> dict[str, Any] | None:
    """The JSON Schema that it is short for; a JSON Schema stays as it is. Raises Refused for a schema by name."""
    if pico is None or pico == "":
        return None
    if isinstance(pico, dict) and (
        pico.get("type") in (*SCALARS, "object", "array") or isinstance(pico.get("properties"), dict)
    ):
        return pico if "type" in pico else {"type": "object", **pico}
    return _schema(pico)


def _schema(pico: Any) -> dict[str, Any]:
    if isinstance(pico, str):
        kind, _, said = pico.partition(",")
        kind = kind.strip()
        described = {"description": said.strip()} if said.strip() else {}
        if kind == "any":
            return described
        if kind not in SCALARS:
            raise Refused(f"It uses the schema {kind[:60]!r}, which is defined elsewhere. Write it out.")
        return {"type": kind, **described}
    if not isinstance(pico, dict):
        raise Refused("Its schema is neither a type nor a list of fields.")
    schema: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    for key, value in pico.items():
        if key == "(*)":
            schema["additionalProperties"] = _schema(value)
            continue
        found = KEY.match(key.strip())
        if not found:
            raise Refused(f"Its schema has the field {key[:60]!r}, which cannot be read.")
        schema["properties"][found["name"].strip()] = _field(found, value)
        if not found["optional"]:
            schema["required"].append(found["name"].strip())
    if not schema["required"]:
        del schema["required"]
    return schema


def _field(found: re.Match[str], value: Any) -> dict[str, Any]:
    optional = bool(found["optional"])
    match found["kind"]:
        case "array":
            made: dict[str, Any] = {"type": "array", "items": _schema(value)}
        case "enum":
            if not isinstance(value, list):
                raise Refused(f"The choices of {found['name']} are not a list.")
            made = {"enum": [*value, None] if optional and None not in value else value}
        case _:
            made = _schema(value)
    if optional and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    if found["said"]:
        made["description"] = found["said"].strip()
    return made
