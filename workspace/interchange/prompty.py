"""Microsoft's .prompty files, of the first and the second kind: YAML front matter, then the messages by role.

Endpoints and keys in it are never taken in. Template code (Jinja's {% %}, filters, Mustache sections) is refused by name,
except the one loop that everybody writes for a conversation's history: that is a placeholder here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workspace.interchange import properties
from workspace.interchange.bounded import comment, dump_yaml, front_matter
from workspace.interchange.drafts import (
    CHAT,
    TEXT,
    Draft,
    Reading,
    Refused,
    each,
    inlined,
    mapping,
    missing,
    role_of,
    strings,
    whole,
)

ROLE = re.compile(
    r"^[ \t]*(?:#[ \t]*)?(system|user|assistant|developer|function|tool)(?:\[[^\]\n]*\])?[ \t]*:[ \t]*$", re.I | re.M
)
LOOP = re.compile(
    r"\{%-?\s*for\s+(\w+)\s+in\s+(\w+)\s*-?%\}\s*(?:#\s*)?\{\{\s*\1\.role\s*\}\}\s*:\s*\{\{\s*\1\.content\s*\}\}\s*\{%-?\s*endfor\s*-?%\}"
)
CODE = re.compile(r"\{%.{0,60}?%\}|\{#.{0,60}?#\}|\{\{\s*[#^/&>!{][^{}]{0,60}\}\}|\{\{[^{}|(\[]*[|(\[][^{}]*\}\}", re.S)
PARAMETERS = {
    "maxOutputTokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "topP": "top_p",
    "topK": "top_k",
    "stopSequences": "stop",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
}
OURS = {name: theirs for theirs, name in PARAMETERS.items() if "_" not in theirs}


def read(text: str, filename: str = "") -> Reading:
    """One file is one prompt."""
    where = filename or "the file"
    return Reading(each([(where, "", text)], lambda _, raw: draft(where, raw)))


def draft(where: str, text: str) -> Draft:
    front, body = front_matter(text)
    metadata = mapping(front.get("metadata"))
    studio = mapping(metadata.get("studio"))
    made = Draft(
        where,
        str(front.get("name") or ""),
        TEXT if studio.get("kind") == TEXT else CHAT,
        description=str(front.get("description") or ""),
        tags=strings(front.get("tags") or metadata.get("tags")),
        labels=strings(studio.get("labels")),
        note=str(studio.get("note") or ""),
        number=whole(studio.get("version")),
    )
    _take_model(made, front.get("model"))
    threads = _take_inputs(made, _inputs(front))
    _take_outputs(made, front.get("outputs", front.get("outputSchema")))
    if front.get("tools"):
        made.notes.append("Its tools were not taken in.")
    made.messages = _messages(made, body, threads)
    return made


def _inputs(front: Mapping[str, Any]) -> Any:
    inputs = front.get("inputs", front.get("inputSchema"))
    return inputs.get("properties", inputs) if isinstance(inputs, dict) else inputs


def _named(listed: Any) -> dict[str, Any]:
    """Properties by their names, whether they come as a list or as a mapping."""
    if isinstance(listed, list):
        return {str(one["name"]): one for one in listed if isinstance(one, dict) and one.get("name")}
    return {str(name): value for name, value in listed.items()} if isinstance(listed, dict) else {}


def _take_model(made: Draft, model: Any) -> None:
    if isinstance(model, str):
        made.config["model"] = model
        return
    if not isinstance(model, dict):
        return
    configuration = model.get("configuration") or model.get("connection") or {}
    named = model.get("id") or (isinstance(configuration, dict) and configuration.get("azure_deployment"))
    if named and "${" not in str(named):
        made.config["model"] = str(named)
    if configuration:
        made.notes.append("Its connection (endpoint, keys) was not taken in; models are set up on the models page.")
    options = model.get("options") or model.get("parameters") or {}
    if not isinstance(options, dict):
        return
    for name, value in options.items():
        if name == "response_format":
            schema = mapping(mapping(value).get("json_schema")).get("schema")
            made.schema = schema if isinstance(schema, dict) else None
        elif name == "additionalProperties" and isinstance(value, dict):
            made.config |= value
        else:
            made.config[PARAMETERS.get(str(name), str(name))] = value


def _take_inputs(made: Draft, inputs: Any) -> set[str]:
    """Variables from the inputs; returns the names of those that are a conversation."""
    threads = set()
    for name, value in _named(inputs).items():
        if isinstance(value, dict) and value.get("kind", value.get("type")) == "thread":
            threads.add(name)
        elif isinstance(value, dict) and {"type", "kind", "default", "sample", "description", "enumValues"} & set(
            value
        ):
            required = value.get("required", value.get("is_required", True)) is not False
            spec = properties.variable(
                name, {"type": "string", **value} if "kind" not in value else value, required=required
            )
            example = value.get("sample", value.get("example"))
            if example is not None and not spec["help"]:
                spec["help"] = f"For example: {properties.typed_in(example, spec['type'])}"[:300]
            if value.get("long"):
                spec["type"] = "long"
            made.variables.append(spec)
        elif isinstance(value, list) and (not value or all(isinstance(one, dict) and "role" in one for one in value)):
            threads.add(name)
        else:
            kind = "json" if isinstance(value, dict) else "list" if isinstance(value, list) else "text"
            made.variables.append(
                properties.variable(name, {"type": {"text": "string"}.get(kind, kind)}, default=value)
            )
    return threads


def _take_outputs(made: Draft, outputs: Any) -> None:
    if isinstance(outputs, dict) and isinstance(outputs.get("properties"), list | dict):
        if outputs.get("type") == "object" and isinstance(outputs["properties"], dict):
            made.schema = outputs  # a JSON Schema as it stands
            return
        outputs = outputs["properties"]
    named = _named(outputs)
    if named and made.schema is None:
        made.schema = {
            "type": "object",
            "properties": {name: _output(value) for name, value in named.items()},
            "required": [name for name, value in named.items() if not _optional(value)],
        }


def _optional(value: Any) -> bool:
    return isinstance(value, dict) and value.get("required") is False


def _output(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {"type": str(value)} if str(value) in ("string", "number", "integer", "boolean") else {}
    kind = str(value.get("kind", value.get("type", "string")))
    kind = {"float": "number", "int": "integer"}.get(kind, kind)
    found: dict[str, Any] = {"type": kind}
    if value.get("description"):
        found["description"] = value["description"]
    if value.get("enumValues"):
        found["enum"] = value["enumValues"]
    if kind == "array" and "items" in value:
        found["items"] = _output(value["items"])
    if kind == "object" and "properties" in value:
        inner = _named(value["properties"])
        found["properties"] = {name: _output(one) for name, one in inner.items()}
        found["required"] = [name for name, one in inner.items() if not _optional(one)]
    return found


def _messages(made: Draft, body: str, threads: set[str]) -> list[dict[str, str]]:
    """The body cut at its role lines. What stands before the first is the system's, as .prompty has it."""

    def loop(found: re.Match[str]) -> str:
        threads.add(found[2])
        return f"{{{{{found[2]}}}}}"

    body = LOOP.sub(loop, body.replace("\r\n", "\n"))
    if made.kind != TEXT and (code := CODE.search(body)):
        raise Refused(f"It uses the template code {code[0][:60]}. Only {{{{variables}}}} are filled in here.")
    if made.kind == TEXT:
        return [{"role": "user", "content": body.strip("\n")}]
    pieces = ROLE.split(body)
    parts = [("system", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
    messages: list[dict[str, str]] = []
    for role, content in parts:
        role = role_of(role)
        for part, thread in _cut(content, threads):
            if thread:
                messages.append({"type": "placeholder", "name": thread})
            elif part.strip():
                messages.append({"role": role, "content": part.strip("\n")})
    return messages


def _cut(content: str, threads: set[str]) -> list[tuple[str, str]]:
    """A message's text, cut where a conversation stands in it."""
    if not threads:
        return [(content, "")]
    pieces = re.split(rf"\{{\{{\s*({'|'.join(map(re.escape, sorted(threads)))})\s*\}}\}}", content)
    return [(piece, "") if at % 2 == 0 else ("", piece) for at, piece in enumerate(pieces)]


def write(made: Draft) -> str:
    messages, notes = inlined(made)
    notes += missing(made)
    config = dict(made.config)
    model: dict[str, Any] = {"id": str(config.pop("model", "")), "apiType": "chat"}
    options = {OURS.get(name, name): value for name, value in config.items()}
    if options:
        model["options"] = options
    front: dict[str, Any] = {"name": made.name, "description": made.description, "model": model}
    studio = {"kind": made.kind, "version": made.number, "labels": made.labels, "note": made.note}
    front["metadata"] = {"tags": made.tags, "studio": {key: value for key, value in studio.items() if value}}
    threads = [message["name"] for message in messages if "content" not in message]
    front["inputs"] = [*map(_input, made.variables), *({"name": name, "kind": "thread"} for name in threads)]
    if made.schema:
        front["outputs"] = made.schema
    body = []
    for message in messages:
        if "content" not in message:
            body.append(f"{{{{{message['name']}}}}}\n")
            continue
        text = message["content"]
        if ROLE.search(text) or CODE.search(text) or text != text.strip("\n"):
            notes.append(
                "A message holds lines that .prompty reads as roles, code or nothing; they will read differently."
            )
        body.append(text + "\n" if made.kind == TEXT else f"{message['role']}:\n{text}\n")
    front = {key: value for key, value in front.items() if value}
    return f"---\n{comment(notes)}{dump_yaml(front)}---\n" + "\n".join(body)


def _input(spec: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"number": "float", "boolean": "boolean", "list": "array", "json": "object", "date": "date"}
    found: dict[str, Any] = {"name": spec["name"], "kind": kinds.get(spec["type"], "string")}
    if spec["type"] == "long":
        found["long"] = True
    if spec["help"]:
        found["description"] = spec["help"]
    if not spec["required"]:
        found["required"] = False
    if spec["default"]:
        found["default"] = properties.default(spec)
    if spec["type"] == "choice":
        found["enumValues"] = list(spec["choices"])
    return found
