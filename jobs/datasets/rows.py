"""What makes a row: from one object of a file to canonical messages and a split, or a reason why not.

Strict: whatever would be left out silently (pictures, tool calls, weights) is a reason. It does not know files or lines.
A million rows come through here, so what every good row passes is plain checks, and reasons are worded only for bad ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from jobs.models import Split

Message = dict[str, str]

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
SPLITS = {
    **dict.fromkeys(("train", "training"), Split.TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), Split.VALIDATION),
    **dict.fromkeys(("test", "testing"), Split.TEST),
}


class BadRow(ValueError):
    """This row cannot be used; the message says why, worded to follow “line 3”."""


@dataclass(slots=True)
class Parsed:
    messages: list[Message]
    split: Split | None  # what the file itself says, if it does


def written(messages: Sequence[Mapping[str, str]]) -> str:
    """Messages as one line of JSON, always in the same way."""
    turns = [
        f'{{"role":"{message["role"]}","content":{encode_basestring(message["content"])}}}' for message in messages
    ]
    return f"[{','.join(turns)}]"


def chat_row(row: Any) -> Parsed:
    """OpenAI's chat format: {"messages": [{"role", "content"}, ...]}."""
    if not isinstance(row, dict):
        raise BadRow("is not a JSON object")
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRow("has no “messages” list")
    if row.get("tools") or row.get("functions"):
        raise BadRow("has tools, which cannot be trained yet")
    turns = [_message(number, message) for number, message in enumerate(messages, 1)]
    return Parsed(_conversation(turns), _split(row.get("split")))


def completion_row(row: Any) -> Parsed:
    """{"prompt", "completion"}: each a text, or a list of messages; optionally a "system" text."""
    if not isinstance(row, dict):
        raise BadRow("is not a JSON object")
    for name in ("prompt", "completion"):
        if name not in row:
            raise BadRow(f"has no “{name}”")
    system = [{"role": "system", "content": _text("system", row["system"])}] if row.get("system") else []
    turns = [*system, *_turns("prompt", row["prompt"], "user"), *_turns("completion", row["completion"], "assistant")]
    return Parsed(_conversation(turns), _split(row.get("split")))


def mapped_row(row: Mapping[str, str], mapping: Mapping[str, str]) -> Parsed:
    """A line of a table, by the columns that a person chose for prompt, completion, system and split."""
    system = row.get(mapping.get("system", ""), "")
    turns = [{"role": "system", "content": system}] if system.strip() else []
    turns += [
        {"role": "user", "content": row[mapping["prompt"]]},
        {"role": "assistant", "content": row[mapping["completion"]]},
    ]
    return Parsed(_conversation(turns), _split(row.get(mapping.get("split", ""), "")))


def _turns(name: str, value: Any, role: str) -> list[Message]:
    if isinstance(value, list):
        return [_message(number, message) for number, message in enumerate(value, 1)]
    return [{"role": role, "content": _text(name, value)}]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadRow(f"has a “{name}” that is not a text")
    return value


def _message(number: int, message: Any) -> Message:
    if not isinstance(message, dict):
        raise BadRow(f"has a message {number} that is not an object with role and content")
    role, content = message.get("role"), message.get("content")
    if len(message) == 2 and type(role) is str and type(content) is str and role in ROLES:
        return {"role": ROLES[role], "content": content}
    if role in ("tool", "function") or message.get("tool_calls") or message.get("function_call"):
        raise BadRow(f"has a tool call in message {number}, which cannot be trained yet")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRow(f"has the role {str(role)[:40]!r} in message {number}; system, user and assistant can be trained")
    if message.get("weight", 1) != 1:
        raise BadRow(f"has a weight in message {number}; every answer counts fully here")
    return {"role": ROLES[role], "content": _content(number, content)}


def _content(number: int, content: Any) -> str:
    if isinstance(content, list):  # parts: text is joined, anything else is refused rather than dropped
        texts = []
        for part in content:
            if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise BadRow(f"has something other than text (an image, say) in message {number}")
            texts.append(part["text"])
        return "".join(texts)
    if not isinstance(content, str):
        raise BadRow(f"has no text in message {number}")
    return content


def _conversation(messages: list[Message]) -> list[Message]:
    """The rules of the order: a system message only first, then user and assistant in turns, an answer at the end."""
    due = "user"
    for number, message in enumerate(messages, 1):
        role = message["role"]
        if role == due:
            due = "user" if due == "assistant" else "assistant"
        elif number > 1 or role != "system":
            raise BadRow(_out_of_turn(number, role, due))
    if not messages or messages[-1]["role"] != "assistant":
        raise BadRow("does not end with an answer from the assistant")
    for number, message in enumerate(messages, 1):
        content = message["content"]
        if not content or content.isspace():
            raise BadRow(
                "has an empty answer at its end" if number == len(messages) else f"has an empty message {number}"
            )
        if "\x00" in content:
            raise BadRow(f"has a NUL character in message {number}")
        if not content.isascii():
            _check_storable(number, content)
    return messages


def _out_of_turn(number: int, role: str, due: str) -> str:
    if role == "system":
        return f"has a system message at place {number}; it may only come first, and once"
    return f"has message {number} from the {role} where the {due} is due: they take turns, the user first"


def _check_storable(number: int, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRow(f"has half a character (a lone surrogate) in message {number}") from None


def _split(value: Any) -> Split | None:
    if value is None or value == "":
        return None
    found = SPLITS.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise BadRow(f"has the split {str(value)[:40]!r}; it can be train, validation or test")
    return found
