"""The rules of a conversation as plain functions: what may be sent, what a chat is called, what the model is asked.

It knows messages as lists of {"role", "content"} and nothing of rows, people or sockets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from jobs.texts import typed

MAX_TEXT = 100_000  # characters in one message
MAX_SYSTEM = 20_000
TITLE_LENGTH = 60

Asked = dict[str, str]
Code = Literal[
    "empty", "too_long", "archived", "busy", "not_found", "model_gone", "nothing_to_drop", "bad_frame", "forbidden",
    "too_many",
]  # fmt: skip


class Refused(ValueError):
    """Something that cannot be sent. The message is for the person who tried; nothing was stored."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def checked_text(text: str) -> str:
    """What a person typed, without the blank lines around it. Raises Refused for too little and for too much."""
    text = typed(text).strip()
    if not text:
        raise Refused("empty", "The message is empty. Write something first.")
    if len(text) > MAX_TEXT:
        raise Refused(
            "too_long",
            f"This message has {len(text):,} characters; at most {MAX_TEXT:,} can be sent at once. "
            "Shorten it, or send it in parts. What you wrote is still in the box.",
        )
    return text


def title_from(text: str) -> str:
    """A chat's first name: the start of its first line, cut between words."""
    line = next((line.strip(" #*>-`") for line in text.splitlines() if line.strip(" #*>-`")), "")
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[:TITLE_LENGTH].rsplit(" ", 1)[0]
    return f"{cut[: TITLE_LENGTH - 1].rstrip(' ,;:')}…"


def request_messages(system: str, turns: Sequence[Asked]) -> list[Asked]:
    """What the model is asked. Replies that came to nothing are left out, and then two questions in a row are joined,
    because most templates insist that user and assistant take turns."""
    asked: list[Asked] = []
    for turn in turns:
        if not turn["content"]:
            continue
        if asked and asked[-1]["role"] == turn["role"]:
            asked[-1] = {"role": turn["role"], "content": f"{asked[-1]['content']}\n\n{turn['content']}"}
        else:
            asked.append({"role": turn["role"], "content": turn["content"]})
    while asked and asked[0]["role"] == "assistant":
        asked.pop(0)
    return [{"role": "system", "content": system.strip()}, *asked] if system.strip() else asked


def framed(name: str, text: str, *, cut_from: int | None = None) -> str:
    """A file as the model reads it: its name, then its text between two fences longer than any run of backticks in it,
    so that no text can end its own frame."""
    name = " ".join(name.split()) or "file"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    note = f" (its first {len(text):,} of {cut_from:,} characters)" if cut_from else ""
    return f"File: {name}{note}\n{fence}\n{text}\n{fence}"


def parted(messages: Sequence[Asked]) -> tuple[str, list[Asked], str]:
    """A filled-in prompt as a chat takes it: the system prompt, the turns before the question, the question. A prompt
    that ends with an answer leaves the question to the person."""
    system = "\n\n".join(turn["content"].strip() for turn in messages if turn["role"] == "system")
    turns = [turn for turn in messages if turn["role"] != "system" and turn["content"].strip()]
    question = turns.pop()["content"] if turns and turns[-1]["role"] == "user" else ""
    return system.strip(), turns, question


def turns_to_drop(
    turns: Sequence[Mapping[str, Any]], at_least: int, count: Callable[[Sequence[Any]], int], room: int
) -> int:
    """How many of the oldest turns to leave out so that `count` tokens of the rest fit into `room`.

    At least `at_least`, always up to the next question, and never the last: if even that does not fit, it alone is left.
    """
    starts = [i for i, turn in enumerate(turns) if turn["role"] == "user" and i >= at_least]
    for start in starts:
        if count(turns[start:]) <= room:
            return start
    return starts[-1] if starts else 0
