"""What a conversation can become: the messages of a prompt, or question and answer pairs for an example set.

It reads turns as `Chat.path` gives them and makes nothing itself.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from workspace.chats import request_messages
from workspace.examples import Texts
from workspace.models import Attachment, Example, Opinions, Turn


def as_prompt(system: str, turns: Sequence[Turn]) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The messages and variables of a prompt that says what was said here. A file becomes a variable: it is material,
    and the next time it is another file."""
    names: dict[str, str] = {}  # variable -> file
    said = []
    for turn in turns:
        message = turn.message
        if message.generation:
            said += message.as_turns()
            continue
        tags = []
        for one in message.attachments.all():
            said += one.turns
            if one.kind == Attachment.Kind.FILE:
                name = variable_name(one.name, names)
                names[name] = one.name
                tags.append(f"{{{{{name}}}}}")
        said.append({"role": "user", "content": "\n\n".join([*tags, message.text])})
    variables = [{"name": name, "type": "long", "help": f"The text of {file}"} for name, file in names.items()]
    return request_messages(system, said), variables


def variable_name(filename: str, taken: Mapping[str, str]) -> str:
    """A name for the file's variable: letters, digits and _; the same file again has the same."""
    plain = re.sub(r"\W+", "_", filename.rpartition(".")[0] or filename, flags=re.ASCII).strip("_")[:50]
    base = plain if plain[:1].isalpha() else f"file_{plain}".rstrip("_")
    name, number = base, 2
    while taken.get(name, filename) != filename:
        name, number = f"{base}_{number}", number + 1
    return name


def as_examples(turns: Sequence[Turn], opinions: Mapping[Any, Opinions]) -> list[tuple[Texts, dict[str, str]]]:
    """Each question with its answer and where it was said: the correction that stands in, else the newest correction,
    else the answer. Raises BadExample."""
    rows = []
    for before, turn in itertools.pairwise(turns):
        asked, answer = before.message, turn.message
        reply = answer.reply
        if asked.generation or reply is None or not reply.is_final:
            continue
        corrections = opinions[answer.generation_id].corrections
        better = answer.stand_in or (corrections[0] if corrections else None)
        output = better.correction if better and better.correction else reply.text
        if output.strip():
            source = {"source_kind": Example.Source.MESSAGE, "source_id": str(answer.pk)}
            rows.append((Texts.checked(asked.text, output), source))
    return rows
