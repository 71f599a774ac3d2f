"""Our own form as Markdown: all of a version, to read in any editor, keep in a repository and take back in unchanged."""

from __future__ import annotations

import re
from typing import Any

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
    specs,
    strings,
    whole,
)

MARK = re.compile(r"^## (?P<role>system|user|assistant|text|placeholder (?P<name>\S+)) <!-- message -->[ \t]*$", re.M)
LIKE_MARK = re.compile(r"^(\\*)(## .* <!-- message -->)", re.M)
FORMAT = "llm-studio-prompt"


def read(text: str, filename: str = "") -> Reading:
    """One file is one prompt."""
    where = filename or "the file"
    return Reading(each([(where, "", text)], lambda _, raw: draft(where, raw)))


def draft(where: str, text: str) -> Draft:
    front, body = front_matter(text.replace("\r\n", "\n"))
    if front.get("format") != FORMAT:
        raise Refused(f"It does not begin with a block that says format: {FORMAT}.")
    pieces = MARK.split(body)
    if len(pieces) == 1:
        raise Refused("It has no message; one begins with a line like “## user <!-- message -->”.")
    made = Draft(
        where,
        str(front.get("name") or ""),
        TEXT if front.get("kind") == TEXT else CHAT,
        description=str(front.get("description") or ""),
        tags=strings(front.get("tags")),
        labels=strings(front.get("labels")),
        variables=specs(front.get("variables")),
        config=mapping(front.get("config")),
        schema=front["schema"] if isinstance(front.get("schema"), dict) else None,
        note=str(front.get("note") or ""),
        number=whole(front.get("version")),
    )
    for role, name, content in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        if name:
            made.messages.append({"type": "placeholder", "name": name})
        else:
            content = content.removeprefix("\n").removeprefix("\n").removesuffix("\n").removesuffix("\n")
            content = LIKE_MARK.sub(lambda line: line[1][1:] + line[2], content)
            made.messages.append({"role": "user" if role == "text" else role, "content": content})
    return made


def write(made: Draft) -> str:
    front: dict[str, Any] = {
        "format": FORMAT,
        "name": made.name,
        "kind": made.kind,
        "version": made.number,
        "description": made.description,
        "tags": made.tags,
        "labels": made.labels,
        "note": made.note,
        "variables": made.typed,
        "config": made.config,
        "schema": made.schema,
    }
    parts = []
    for message in made.messages:
        if "content" not in message:
            parts.append(f"## placeholder {message['name']} <!-- message -->\n\n")
            continue
        text = LIKE_MARK.sub(r"\\\1\2", message["content"])
        parts.append(f"## {'text' if made.kind == TEXT else message['role']} <!-- message -->\n\n{text}\n\n")
    front = {key: value for key, value in front.items() if value}
    return f"---\n{comment(missing(made))}{dump_yaml(front)}---\n\n" + "".join(parts)
