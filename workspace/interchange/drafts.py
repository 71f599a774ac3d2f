"""A prompt on its way in or out: what every format is read into and written from, and what went wrong on the way.

Nothing here knows a format or a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workspace import prompts
from workspace.prompts import Message, PromptError
from workspace.variables import Variable

MOST = 1000  # prompts in one import
MAX_BYTES = 5 * 2**20
TEXT, CHAT = "text", "chat"
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
    "ai": "assistant",
}


class Refused(ValueError):
    """One prompt, or a whole file, that is not taken in; the text says why."""


@dataclass
class Draft:
    """One version of one prompt. `notes` say what was changed or left out while it was read. A draft without messages
    only gives an existing prompt another name (`alias`)."""

    where: str = ""  # "prompts[3]", "line 12", the file's name
    name: str = ""
    kind: str = CHAT
    messages: list[Message] = field(default_factory=list)
    description: str = ""
    tags: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    variables: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] | None = None
    note: str = ""
    alias: str = ""
    number: int = 0  # of the version, where it comes from
    notes: list[str] = field(default_factory=list)
    # only on the way out
    examples: str = ""  # the few-shot set's name
    included: Mapping[str, str] = field(default_factory=dict)  # include -> its text

    @property
    def text(self) -> str:
        return prompts.as_text(self.messages)

    @property
    def typed(self) -> list[dict[str, Any]]:
        """The variables about which more is said than that they are there."""
        return [spec for spec in self.variables if spec != Variable(str(spec.get("name", ""))).to_dict()]


@dataclass(frozen=True)
class Problem:
    """A prompt that cannot be taken in."""

    where: str
    name: str
    why: str


Item = Draft | Problem


@dataclass
class Reading:
    """What a file holds. `remarks` are about the file as a whole; `cases` are inputs to try its prompts on."""

    items: list[Item] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    cases: list[dict[str, str]] = field(default_factory=list)


def checked(draft: Draft) -> Item:
    """The draft as it may be kept as far as that is known without a team, or the reason why not."""
    try:
        if not draft.messages and draft.alias:
            return draft
        draft.messages = prompts.checked_messages(draft.messages)
        for spec in draft.variables:
            Variable.from_dict(spec)
        if draft.schema is not None:
            from workspace.structured import check_schema

            draft.schema = check_schema(draft.schema)
    except (PromptError, Refused) as error:
        return Problem(draft.where, draft.name, str(error))
    if foreign := unread_tags(draft.messages):
        draft.notes.append(f"Kept as plain text, because it is not a variable here: {', '.join(foreign)}.")
    return draft


def each(entries: Iterable[tuple[str, str, Any]], read: Any) -> list[Item]:
    """Every entry (where, name, raw) read by itself: one that is refused does not stop the others."""
    items: list[Item] = []
    for where, name, raw in entries:
        if len(items) >= MOST:
            raise Refused(f"At most {MOST:,} prompts are taken in at once. Split the file.")
        try:
            draft = read(where, raw)
            items += [checked(one) for one in (draft if isinstance(draft, list) else [draft])]
        except Refused as error:
            items.append(Problem(where, name, str(error)))
    return items


def mapping(value: Any) -> dict[str, Any]:
    """A mapping as it is, anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def strings(value: Any) -> list[str]:
    """A list's items as texts; a text as a list of one."""
    if isinstance(value, str):
        return [value] if value else []
    return [str(one) for one in value] if isinstance(value, list) else []


def specs(value: Any) -> list[dict[str, Any]]:
    """A list's descriptions of variables; what has no name describes none."""
    listed = value if isinstance(value, list) else ()
    return [one for one in listed if isinstance(one, dict) and isinstance(one.get("name"), str)]


def whole(value: Any) -> int:
    """A version's number; 0 for anything that is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else 0


def role_of(name: Any) -> str:
    role = ROLES.get(str(name).strip().lower())
    if role is None:
        raise Refused(f"It has a message with the role {str(name)[:40]!r}; there are system, user and assistant.")
    return role


def content_of(content: Any) -> str:
    """A message's text, also where it is a list of text parts. Raises Refused for pictures and the like."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        texts = []
        for part in content:
            kind = part.get("type", "text") if isinstance(part, dict) else "nothing readable"
            if isinstance(part, dict) and isinstance(part.get("text"), str) and str(kind).endswith("text"):
                texts.append(part["text"])
            else:
                raise Refused(f"A message holds {kind}; only text can be kept.")
        return "\n".join(texts)
    raise Refused("A message has no text.")


def messages_of(raw: Any) -> list[Message]:
    """Messages as OpenAI, Langfuse and promptfoo write them. Raises Refused."""
    if not isinstance(raw, list):
        raise Refused("Its messages are not a list.")
    messages: list[Message] = []
    for message in raw:
        if not isinstance(message, dict):
            raise Refused("One of its messages is not an object with a role and a content.")
        if message.get("type") == "placeholder":
            messages.append({"type": "placeholder", "name": str(message.get("name", ""))})
        else:
            messages.append({"role": role_of(message.get("role")), "content": content_of(message.get("content"))})
    return messages


def unread_tags(messages: Sequence[Message]) -> list[str]:
    """What looks like a tag of another template language and is none here."""
    ours = prompts._TAG
    found = []
    for message in messages:
        for tag in re.findall(r"\{\{[^{}]{0,80}\}\}", message.get("content", "")):
            if not ours.fullmatch(tag):
                found.append(tag)
    return list(dict.fromkeys(found))[:5]


def inlined(draft: Draft) -> tuple[list[Message], list[str]]:
    """The messages with each include written out, for formats that know none; and what to say about it."""
    notes = []

    def replaced(tag: re.Match[str]) -> str:
        if not tag["include"]:
            return tag[0]
        include = str(prompts.Include(tag["include"], tag["which"] or ""))
        if include not in draft.included:
            notes.append(f"The include {include} could not be found and stands as it was written.")
            return tag[0]
        notes.append(f"The include {include} is written out as its text.")
        return draft.included[include]

    messages = [
        {**message, "content": prompts._TAG.sub(replaced, message["content"])} if "content" in message else message
        for message in draft.messages
    ]
    return messages, list(dict.fromkeys(notes))


def left_out(draft: Draft) -> list[str]:
    """What no format holds."""
    return [f"the few-shot set ({draft.examples})"] if draft.examples else []


def missing(draft: Draft) -> list[str]:
    """The same in sentences for a file's head."""
    return [f"Not in here: {words}." for words in left_out(draft)]


def leaf(name: str) -> str:
    return re.sub(r"\.[A-Za-z0-9.]{1,12}$", "", name.rpartition("/")[2]).strip() or "prompt"
