"""Langfuse's prompts as JSON: one, a list, or a page of the API; and the same out again.

What Langfuse has no field for goes under `studio` in the config, which Langfuse keeps and hands on untouched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from workspace import prompts
from workspace.interchange.bounded import load_json
from workspace.interchange.drafts import (
    CHAT,
    TEXT,
    Draft,
    Reading,
    Refused,
    each,
    left_out,
    mapping,
    messages_of,
    specs,
    strings,
    whole,
)
from workspace.prompts import PRODUCTION, Include, Message

REFERENCE = re.compile(r"@@@langfusePrompt:(.*?)@@@")


def read(text: str) -> Reading:
    """Raises Refused when it is no such JSON at all."""
    found = _entries(text)
    if isinstance(found, dict):
        found = found.get("data", found.get("prompts", [found]))
    if not isinstance(found, list):
        raise Refused("A Langfuse export is a prompt or a list of prompts.")
    named = [(f"prompt {number}", _name(raw), raw) for number, raw in enumerate(found, 1)]
    named.sort(
        key=lambda entry: whole(mapping(entry[2]).get("version"))
    )  # stable: several versions of one prompt come oldest first
    return Reading(each(named, draft))


def _entries(text: str) -> Any:
    try:
        return load_json(text)
    except Refused:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        try:
            return [load_json(line) for line in lines]
        except Refused:
            pass
        raise


def _name(raw: Any) -> str:
    return str(raw.get("name", ""))[:200] if isinstance(raw, dict) else ""


def draft(where: str, raw: Any) -> Draft:
    if not isinstance(raw, dict):
        raise Refused("It is not an object.")
    if not isinstance(raw.get("name"), str) or not raw["name"].strip():
        raise Refused("It has no name.")
    if "prompt" not in raw:
        raise Refused("It has no text: the field prompt is missing. The list call of Langfuse's API leaves it out.")
    said, kind = raw["prompt"], raw.get("type") or (TEXT if isinstance(raw["prompt"], str) else CHAT)
    if kind not in (TEXT, CHAT):
        raise Refused(f"Its type is {str(kind)[:40]!r}; Langfuse has text and chat.")
    if (kind == TEXT) != isinstance(said, str):
        raise Refused(f"Its type is {kind}, but its prompt is {'a text' if isinstance(said, str) else 'not one text'}.")
    made = Draft(
        where,
        raw["name"].strip(),
        kind,
        [{"role": "user", "content": said}] if isinstance(said, str) else messages_of(said),
        tags=strings(raw.get("tags")),
        labels=[label for label in strings(raw.get("labels")) if label != "latest"],
        note=str(raw.get("commitMessage") or raw.get("commit_message") or ""),
        number=whole(raw.get("version")),
    )
    for message in made.messages:
        if "content" in message:
            message["content"] = REFERENCE.sub(_include, message["content"])
    _take_config(made, raw.get("config"))
    if raw.get("resolutionGraph"):
        made.notes.append(
            "Langfuse had written its references out; export with resolve=false to keep them as includes."
        )
    return made


def _include(reference: re.Match[str]) -> str:
    include = include_of(reference)
    if include is None:
        raise Refused(f"The reference {reference[0][:80]} cannot be read.")
    return f"{{{{> {include}}}}}"


def include_of(reference: re.Match[str]) -> Include | None:
    """What a `REFERENCE` includes; None where that cannot be read."""
    parts = dict(part.split("=", 1) for part in reference[1].split("|") if "=" in part)
    name, which = parts.get("name", "").strip(), (parts.get("version") or parts.get("label") or "").strip()
    if not name or not re.fullmatch(r"[A-Za-z0-9_.-]*", which) or re.search(r"[{}@]", name):
        return None
    return Include(name, "" if which == PRODUCTION else which)


def _take_config(made: Draft, config: Any) -> None:
    if config is None:
        return
    if not isinstance(config, dict):
        made.config = {"value": config}
        made.notes.append("Its config was not an object; it is kept under value.")
        return
    ours = config.pop("studio", None)
    made.config = config
    if isinstance(ours, dict):
        made.description = str(ours.get("description") or "")
        made.variables = specs(ours.get("variables"))
        made.schema = ours["schema"] if isinstance(ours.get("schema"), dict) else None


def write(drafts: Sequence[Draft]) -> str:
    shapes = [shape(draft) for draft in drafts]
    return json.dumps(shapes[0] if len(shapes) == 1 else shapes, ensure_ascii=False, indent=2) + "\n"


def shape(draft: Draft) -> dict[str, Any]:
    """One prompt in Langfuse's shape."""
    messages = with_references(draft.messages)
    ours: dict[str, Any] = {
        "description": draft.description,
        "variables": draft.typed,
        "schema": draft.schema,
        "not_in_here": left_out(draft),
    }
    ours = {key: value for key, value in ours.items() if value}
    return {
        "name": draft.name,
        "type": draft.kind,
        "prompt": messages[0]["content"] if draft.kind == TEXT else messages,
        "config": {**draft.config, **({"studio": ours} if ours else {})},
        "version": draft.number,
        "labels": draft.labels,
        "tags": draft.tags,
        "commitMessage": draft.note or None,
    }


def with_references(messages: Sequence[Message]) -> list[Message]:
    """The messages with each include as Langfuse's reference again."""
    return prompts.with_includes(messages, {include: _reference(include) for include in prompts.includes_in(messages)})


def _reference(include: Include) -> str:
    which = f"version={include.which}" if include.which.isdigit() else f"label={include.which or PRODUCTION}"
    return f"@@@langfusePrompt:name={include.name}|{which}@@@"
