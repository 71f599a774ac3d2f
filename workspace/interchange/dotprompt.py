"""Google's Dotprompt: the part of it without Handlebars helpers. What it has beyond that is refused, each by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workspace.interchange import picoschema, properties
from workspace.interchange.bounded import comment, dump_yaml, front_matter
from workspace.interchange.drafts import (
    CHAT,
    TEXT,
    Draft,
    Reading,
    Refused,
    each,
    mapping,
    missing,
    role_of,
    strings,
    whole,
)
from workspace.prompts import _TAG, HISTORY

TAG = re.compile(r"(?P<escape>\\?)\{\{(?P<three>\{?)(?P<said>(?:(?!\{\{).)*?)\}?\}\}", re.S)
MARK = re.compile(r"""\{\{\s*(?:role\s+["'](?P<role>\w+)["']|(?P<history>history))\s*\}\}""")
PARTIAL = re.compile(r">\s*[A-Za-z0-9_./-]+$")
ROLE_OUT = {"assistant": "model"}


def read(text: str, filename: str = "") -> Reading:
    """One file is one prompt."""
    where = filename or "the file"
    return Reading(each([(where, "", text)], lambda _, raw: draft(where, raw)))


def draft(where: str, text: str) -> Draft:
    front, body = front_matter(text)
    studio = mapping(mapping(front.get("metadata")).get("studio"))
    made = Draft(
        where,
        ".".join(str(part) for part in (front.get("name"), front.get("variant")) if part),
        TEXT if studio.get("kind") == TEXT else CHAT,
        description=str(front.get("description") or studio.get("description") or ""),
        tags=strings(studio.get("tags")),
        labels=strings(studio.get("labels")),
        note=str(studio.get("note") or ""),
        number=whole(studio.get("version")),
    )
    made.config = dict(mapping(front.get("config")))
    if front.get("model"):
        made.config["model"] = str(front["model"])
    if front.get("tools") or front.get("toolDefs"):
        made.notes.append("Its tools were not taken in.")
    _take_input(made, front.get("input"))
    output = front.get("output")
    if isinstance(output, dict):
        made.schema = picoschema.to_schema(output.get("schema"))
        if output.get("format") == "json" and not made.schema:
            made.schema = {"type": "object"}
    made.messages = _messages(made, body)
    return made


def _take_input(made: Draft, given: Any) -> None:
    if not isinstance(given, dict):
        return
    defaults = mapping(given.get("default"))
    schema = picoschema.to_schema(given.get("schema")) or {}
    props, needed = mapping(schema.get("properties")), strings(schema.get("required"))
    for name in dict.fromkeys([*props, *defaults]):
        described = props.get(name)
        prop = described if isinstance(described, dict) else {"type": "string"}
        required = name in needed or not isinstance(described, dict)
        made.variables.append(properties.variable(name, prop, required=required, default=defaults.get(name)))


def _messages(made: Draft, body: str) -> list[dict[str, str]]:
    """Cut at the role marks. Before the first the user speaks; after {{history}} the model does, as Dotprompt has it."""
    body = body.replace("\r\n", "\n")
    for refused in _refused(body):
        raise Refused(refused)
    body = re.sub(r"\{\{!(?:--(?:(?!\{\{!).)*?--|[^{}]*)\}\}\n?", "", body, flags=re.S)
    if made.kind == TEXT:
        return [{"role": "user", "content": body.strip("\n")}]
    messages: list[dict[str, str]] = []
    role, start = "user", 0
    for mark in [*MARK.finditer(body), None]:
        content = body[start : mark.start() if mark else len(body)].strip("\n")
        if content.strip():
            messages.append({"role": role, "content": content})
        if mark is None:
            break
        if mark["history"]:
            messages.append({"type": "placeholder", "name": HISTORY})
            role = "assistant"
        else:
            role = role_of(mark["role"])
        start = mark.end()
    return messages


def _refused(body: str) -> Iterator[str]:
    """Each tag that is neither a variable, a role, the history, a comment nor another prompt."""
    for tag in TAG.finditer(body):
        said = tag["said"].strip()
        first = (said.split() or [""])[0]
        if tag["escape"]:
            yield f"It uses the escape {tag[0][:60]}, which has no meaning here."
        elif tag["three"]:
            yield f"It uses {tag[0][:60]}: values are never escaped here, so write two braces."
        elif (
            said.startswith("!")
            or MARK.fullmatch(tag[0])
            or PARTIAL.match(said)
            or (_TAG.fullmatch(tag[0]) and not said.startswith(">"))
        ):
            continue
        elif said.startswith(("#", "^", "/")) or first == "else":
            yield f"It uses the block {{{{{first[:40]}}}}}. Blocks are not filled in here; write one prompt for each case."
        elif said.startswith(">"):
            yield f"It uses the partial {{{{{said[:40]}}}}}: only another prompt's name may stand there, without values."
        elif said.startswith(("@", "~")) or said.endswith("~"):
            yield f"It uses {{{{{said[:40]}}}}}, which has no meaning here."
        else:
            yield f"It uses the helper {first[:40]} ({{{{{said[:60]}}}}}). Helpers are not run here."


def write(made: Draft) -> str:
    notes = missing(made)
    config = dict(made.config)
    studio = {
        "kind": TEXT if made.kind == TEXT else "",
        "version": made.number,
        "description": made.description,
        "tags": made.tags,
        "labels": made.labels,
        "note": made.note,
    }
    front: dict[str, Any] = {"name": made.name, "model": config.pop("model", ""), "config": config}
    front["input"] = _input(made.variables)
    if made.schema:
        front["output"] = {"format": "json", "schema": made.schema}
    front["metadata"] = {"studio": kept} if (kept := {key: value for key, value in studio.items() if value}) else {}
    body = []
    for message in made.messages:
        if "content" not in message:
            if message["name"] == HISTORY:
                body.append("{{history}}\n")
            else:
                notes.append(f"Not in here: the placeholder {message['name']}; Dotprompt has one only, history.")
            continue
        text = _TAG.sub(lambda tag: _partial(tag, notes), message["content"])
        if any(True for _ in _refused(text)) or MARK.search(text) or text != text.strip("\n"):
            notes.append("A message holds what Dotprompt reads as code or nothing; it will read differently.")
        role = ROLE_OUT.get(message["role"], message["role"])
        body.append(f"{text}\n" if made.kind == TEXT else f'{{{{role "{role}"}}}}\n{text}\n')
    front = {key: value for key, value in front.items() if value}
    return f"---\n{comment(notes)}{dump_yaml(front)}---\n" + "\n".join(body)


def _partial(tag: re.Match[str], notes: list[str]) -> str:
    """Another prompt, as a partial. Its label or version has no place in one."""
    if not tag["include"]:
        return tag[0]
    if tag["which"]:
        notes.append(f"{{{{> {tag['include']}}}}} meant {tag['which']}; a partial says only the name.")
    if not PARTIAL.match(f"> {tag['include']}"):
        notes.append(f"{{{{> {tag['include']}}}}} is no name that a partial can have.")
    return f"{{{{> {tag['include']}}}}}"


def _input(specs: list[dict[str, Any]]) -> dict[str, Any]:
    if not specs:
        return {}
    props = {spec["name"]: properties.prop(spec) for spec in specs}
    needed = [spec["name"] for spec in specs if spec["required"]]
    schema: dict[str, Any] = {"type": "object", "properties": props}
    if needed:
        schema["required"] = needed
    defaults: Mapping[str, Any] = {spec["name"]: properties.default(spec) for spec in specs if spec["default"]}
    return {"schema": schema, **({"default": dict(defaults)} if defaults else {})}
