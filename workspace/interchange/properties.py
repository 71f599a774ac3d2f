"""Typed variables as the properties of a JSON Schema, which is how .prompty and Dotprompt describe inputs, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workspace.variables import Variable

TYPES = {
    "string": "text",
    "str": "text",
    "number": "number",
    "integer": "number",
    "int": "number",
    "float": "number",
    "double": "number",
    "boolean": "boolean",
    "bool": "boolean",
    "array": "list",
    "list": "list",
    "object": "json",
    "any": "json",
    "json": "json",
    "date": "date",
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "long": {"type": "string", "format": "long-text"},
    "number": {"type": "number"},
    "choice": {"type": "string"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "list": {"type": "array", "items": {"type": "string"}},
    "json": {"type": "object"},
}


def variable(name: str, prop: Mapping[str, Any], *, required: bool = True, default: Any = None) -> dict[str, Any]:
    """A variable from a property."""
    kind = prop.get("type", prop.get("kind", "string" if "enum" in prop else "any"))
    if isinstance(kind, list):  # ["string", "null"]
        kind = next((one for one in kind if one != "null"), "any")
    choices = next((given for name in ("enum", "enumValues") if isinstance(given := prop.get(name), list)), ())
    type_ = "choice" if choices else TYPES.get(str(kind).lower(), "text")
    if type_ == "text":
        type_ = {"date": "date", "long-text": "long"}.get(str(prop.get("format", "")), type_)
    default = prop.get("default") if default is None else default
    return Variable(
        name,
        type_,  # type: ignore[arg-type]
        required,
        typed_in(default, type_),
        tuple(str(choice) for choice in choices if choice is not None),
        str(prop.get("description") or "")[:300],
    ).to_dict()


def typed_in(value: Any, kind: str) -> str:
    """A default as a person would type it into the form."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if kind == "list" and isinstance(value, list):
        return "\n".join(str(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def prop(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A property from a variable, without its default."""
    schema = dict(SCHEMAS[spec["type"]])
    if spec["type"] == "choice":
        schema["enum"] = list(spec["choices"])
    if spec["help"]:
        schema["description"] = spec["help"]
    return schema


def default(spec: Mapping[str, Any]) -> Any:
    """A default as a value of its type."""
    text = spec["default"]
    match spec["type"]:
        case "boolean":
            return text.strip().lower() in ("yes", "true", "on", "1")
        case "number" | "json":
            try:
                return json.loads(text)
            except ValueError:
                return text
        case "list":
            return text.splitlines()
    return text
