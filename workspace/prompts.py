"""The prompt language as plain functions: variables, placeholders, includes, and filling them in.

`{{name}}` is replaced by a value, `{{> other}}` by another text prompt, and a message {"type": "placeholder", "name"}
by a list of messages; there is nothing else. Everything is substituted in one pass over the author's text, so what a
person typed into a variable is never read as a template. It knows messages as JSON and nothing of rows, teams or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobs.texts import typed

Message = dict[str, str]  # {"role", "content"} or {"type": "placeholder", "name"}

ROLES = ("system", "user", "assistant")
HISTORY = "history"  # the placeholder that a chat fills with its turns
PRODUCTION, LATEST = "production", "latest"  # the label that a lookup means when it names none; the newest version
EXAMPLES = "examples"  # the placeholder for few-shot pairs; without it they stand before the last user message

MAX_MESSAGES = 100
MAX_CHARACTERS = 1_000_000  # of one prompt, all messages together
MAX_VARIABLES = 100
MAX_NOTE = 500  # characters of a version's note
MAX_NAME = 255

NAME = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}"  # of a variable or a placeholder
# No two of its repetitions can take the same characters: a tag that is never closed is given up in linear time.
_TAG = re.compile(
    rf"\{{\{{\s*(?:(?P<variable>{NAME})|>\s*(?P<include>[^{{}}@\s](?:[^{{}}@]*[^{{}}@\s])?)"
    r"(?:\s*@\s*(?P<which>[A-Za-z0-9_.-]+))?)\s*\}\}"
)

Code = Literal[
    "empty", "too_long", "bad_message", "missing", "unknown", "bad_value", "include", "cycle", "placeholder", "bad_name"
]


class PromptError(ValueError):
    """A prompt that cannot be saved or filled in. The message is for a person; `names` are the variables it is about."""

    def __init__(self, code: Code, message: str, names: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code, self.names = code, tuple(names)


@dataclass(frozen=True)
class Include:
    """`{{> name}}`, `{{> name@label}}` or `{{> name@3}}`: another prompt's text, by label (production) or version."""

    name: str
    which: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.which}" if self.which else self.name


def checked_name(name: str) -> str:
    """A name that a prompt may have: Langfuse's rules, and nothing that an include could not say. Raises PromptError."""
    name = name.strip()
    if not name:
        raise PromptError("bad_name", "The name is empty. Give the prompt one.", ["name"])
    if len(name) > MAX_NAME:
        raise PromptError("bad_name", f"A name has at most {MAX_NAME} characters; this one has {len(name)}.", ["name"])
    if name.startswith("/") or name.endswith("/") or "//" in name:
        raise PromptError("bad_name", "A slash stands between a folder and a name, once: folder/name.", ["name"])
    if wrong := next((c for c in name if c in "{}@|<>" or not c.isprintable()), None):
        raise PromptError("bad_name", f"A name cannot contain {wrong!r}.", ["name"])
    return name


def tidy_name(typed: str) -> str:
    """A name as people type it, without what they did not mean: spaces around slashes, empty folders, doubled spaces."""
    parts = (" ".join(part.split()) for part in typed.split("/"))
    return "/".join(part for part in parts if part)


def variables_in(messages: Sequence[Message], texts: Iterable[str] = ()) -> list[str]:
    """The variables' names, each once, in the order in which they are read; then those of `texts` that are included."""
    everything = [*messages, *({"content": text} for text in texts)]
    return list(dict.fromkeys(tag["variable"] for tag in _tags(everything) if tag["variable"]))


def includes_in(messages: Sequence[Message]) -> list[Include]:
    return list(dict.fromkeys(Include(tag["include"], tag["which"] or "") for tag in _tags(messages) if tag["include"]))


def placeholders_in(messages: Sequence[Message]) -> list[str]:
    return [message["name"] for message in messages if message.get("type") == "placeholder"]


def _tags(messages: Sequence[Message]) -> Iterator[re.Match[str]]:
    for message in messages:
        yield from _TAG.finditer(message.get("content", ""))


def checked_messages(messages: Any) -> list[Message]:
    """The messages of a prompt as they may be stored. Raises PromptError, naming the message that is wrong."""
    if not isinstance(messages, list) or not messages:
        raise PromptError("empty", "A prompt has at least one message. Write one first.")
    if len(messages) > MAX_MESSAGES:
        raise PromptError("too_long", f"A prompt has at most {MAX_MESSAGES} messages; this one has {len(messages)}.")
    checked = [_checked(number, message) for number, message in enumerate(messages, 1)]
    if not any(message.get("content", "").strip() for message in checked):
        raise PromptError("empty", "The prompt is empty. Write something first.")
    if (size := sum(len(message.get("content", "")) for message in checked)) > MAX_CHARACTERS:
        raise PromptError(
            "too_long",
            f"A prompt has at most {MAX_CHARACTERS:,} characters; this one has {size:,}. "
            "Long material belongs into a variable or an attached file.",
        )
    if len(variables_in(checked)) > MAX_VARIABLES:
        raise PromptError("too_long", f"A prompt has at most {MAX_VARIABLES} variables.")
    names = placeholders_in(checked)
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise PromptError("placeholder", f"The placeholder {doubled} stands twice. Each may stand once.", [doubled])
    return checked


def _checked(number: int, message: Any) -> Message:
    if isinstance(message, dict) and message.get("type") == "placeholder":
        name = message.get("name")
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            raise PromptError("bad_message", f"Message {number} is a placeholder without a usable name.")
        return {"type": "placeholder", "name": name}
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        raise PromptError("bad_message", f"Message {number} has no text.")
    if message.get("role") not in ROLES:
        raise PromptError("bad_message", f"Message {number} has the role {str(message.get('role'))[:40]!r}.")
    return {"role": message["role"], "content": typed(message["content"])}


def fill(
    messages: Sequence[Message],
    values: Mapping[str, str],
    *,
    includes: Mapping[Include, str] | None = None,
    placeholders: Mapping[str, Sequence[Message]] | None = None,
) -> list[Message]:
    """The messages with every tag replaced, in one pass: text that comes in by a value or a placeholder is final.

    An include's own variables are filled with the same values. Raises PromptError for what is missing, by name.
    A placeholder nobody fills is left out.
    """
    found, texts = includes or {}, {}
    for include in includes_in(messages):
        if include not in found:
            raise PromptError("include", f"The prompt includes {include}, which is not there.", [include.name])
        texts[include] = found[include]
    if missing := [name for name in variables_in(messages, texts.values()) if name not in values]:
        listed = ", ".join(missing)
        raise PromptError("missing", f"No value was given for {listed}.", missing)

    def replaced(tag: re.Match[str], *, inside: bool = False) -> str:
        if tag["variable"]:
            return values[tag["variable"]]
        if inside:  # one level only; saving refuses it, and what was stored before stays readable
            raise PromptError("cycle", "An included prompt may not include others.", [tag["include"]])
        text = texts[Include(tag["include"], tag["which"] or "")]
        return _TAG.sub(lambda inner: replaced(inner, inside=True), text)

    filled: list[Message] = []
    for message in messages:
        if message.get("type") == "placeholder":
            filled += [dict(turn) for turn in (placeholders or {}).get(message["name"], ())]
        else:
            filled.append({"role": message["role"], "content": _TAG.sub(replaced, message["content"])})
    return filled


def expanded(text: str, includes: Mapping[Include, str]) -> str:
    """An author's text with its includes put in and its variables left as they are."""
    return _TAG.sub(
        lambda tag: tag[0] if tag["variable"] else includes[Include(tag["include"], tag["which"] or "")], text
    )


def with_includes(messages: Sequence[Message], texts: Mapping[Include, str]) -> list[Message]:
    """The messages with the included texts in place and every variable still to be filled."""
    return [
        {**message, "content": expanded(message["content"], texts)} if "content" in message else dict(message)
        for message in messages
    ]


def as_text(messages: Sequence[Message]) -> str:
    """All that a reader sees of a prompt, for search and for word counts."""
    return "\n\n".join(message.get("content") or f"[{message.get('name', '')}]" for message in messages)
