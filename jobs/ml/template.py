"""One chat template everywhere: messages to text, tokens and loss mask.

Training, preview, chat, API, evaluation and export all render through `ChatTemplate`, so what a model was taught is
what it is asked. Only `tokenizers` and `jinja2` are imported: the web process uses this module for previews.
The environment is configured as transformers configures its own (a test holds the two equal, token for token).
It does not know about datasets, batches or models' weights.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": str}
LONG = 4_000  # tokens, from which on the memory that took them is worth giving back


class TemplateMismatch(ValueError):
    """The template cannot express these messages, or is not the one a run was made with."""


@dataclass(frozen=True)
class Encoded:
    """One conversation as the model sees it. `ids`, `mask` and `offsets` have one entry per token.

    `mask[i]` is True where token i carries loss. `offsets[i]` is its (start, end) in `text`, in characters.
    """

    text: str
    ids: list[int]
    mask: list[bool]
    offsets: list[tuple[int, int]]

    @property
    def trainable(self) -> int:
        return sum(self.mask)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _give_back() -> None:
    """Free memory goes back to the system. glibc keeps what a tokenizer took to be read or to read a long text (10 to
    30 MB, for each thread) for good otherwise, and the web process has many threads."""
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


class ChatTemplate:
    """The template and tokenizer of one base model folder."""

    def __init__(self, model_dir: Path) -> None:
        config = json.loads((model_dir / "tokenizer_config.json").read_text(encoding="utf-8"))
        template_file = model_dir / "chat_template.jinja"
        self.source: str = (
            template_file.read_text("utf-8") if template_file.exists() else config.get("chat_template") or ""
        )
        if not self.source:
            raise TemplateMismatch("This model has no chat template, so it cannot be used for chat.")
        self.tokenizer: Tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        self.specials = {
            name: token["content"] if isinstance(token, dict) else token
            for name in ("bos_token", "eos_token", "unk_token", "pad_token")
            if (token := config.get(name))
        }
        env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        env.filters["tojson"] = lambda value, **kw: json.dumps(value, ensure_ascii=False, **kw)
        env.globals["raise_exception"] = _raise
        self._template = env.from_string(self.source)

    @property
    def eos_id(self) -> int:
        """The token that ends an assistant turn."""
        token = self.tokenizer.token_to_id(self.specials["eos_token"])
        if token is None:
            raise TemplateMismatch("The tokenizer does not know its own end-of-turn token.")
        return int(token)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the template, the special tokens and the tokenizer: the identity a run is pinned to."""
        parts = (self.source, json.dumps(self.specials, sort_keys=True), self.tokenizer.to_str())
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        del parts
        _give_back()
        return digest

    def render(self, messages: list[Message], *, add_generation_prompt: bool = False) -> str:
        """The conversation as text. Raises TemplateMismatch where the template refuses it (role order, say)."""
        try:
            return self._template.render(
                messages=messages,
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
                **self.specials,
            )
        except TemplateError as error:
            raise TemplateMismatch(f"The chat template refused these messages: {error}") from error

    def prompt_ids(self, messages: list[Message], *, prefill: str = "") -> list[int]:
        """Token ids that ask for the next assistant turn; `prefill` is the part of the answer already written."""
        ids = self._tokenise(messages, add_generation_prompt=True)[0]
        if len(ids) > LONG:
            _give_back()
        return ids + (self._text_ids(prefill)[0] if prefill else [])

    def encode(self, messages: list[Message], *, loss_on: str = "assistant") -> Encoded:
        """Tokens and loss mask of a whole conversation.

        loss_on: "assistant" (every assistant turn up to and including its end-of-turn token), "last", or "all".
        Turns are found by prefix rendering, so the template needs no generation marks.
        """
        text = self.render(messages)
        ids, offsets = self._tokenise(messages, add_generation_prompt=False)
        if loss_on == "all":
            return Encoded(text, ids, [True] * len(ids), offsets)
        spans = self._assistant_spans(messages, text)
        if loss_on == "last":
            spans = spans[-1:]
        mask = [any(start >= a and start < b and end > start for a, b in spans) for start, end in offsets]
        return Encoded(text, ids, mask, offsets)

    def _assistant_spans(self, messages: list[Message], text: str) -> list[tuple[int, int]]:
        spans = []
        eos = self.specials["eos_token"]
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self.render(messages[:i], add_generation_prompt=True)
            upto = self.render(messages[: i + 1])
            if not (text.startswith(before) and text.startswith(upto.rstrip())):
                raise TemplateMismatch("The chat template rewrites earlier turns, so the loss mask cannot be placed.")
            end = upto.rfind(eos)
            spans.append((len(before), end + len(eos) if end >= len(before) else len(upto)))
        return spans

    def _tokenise(
        self, messages: list[Message], *, add_generation_prompt: bool
    ) -> tuple[list[int], list[tuple[int, int]]]:
        forged = [m for m in messages if any(token in m["content"] for token in self._special_strings)]
        if not forged:
            encoding = self.tokenizer.encode(
                self.render(messages, add_generation_prompt=add_generation_prompt), add_special_tokens=False
            )
            return encoding.ids, encoding.offsets
        return self._tokenise_literally(messages, add_generation_prompt)

    def _tokenise_literally(
        self, messages: list[Message], add_generation_prompt: bool
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """As `_tokenise`, but a special token written inside a message stays text and cannot forge a turn."""
        marks = [f"\ue000{i}\ue001" for i in range(len(messages))]
        skeleton = self.render(
            [{**m, "content": mark} for m, mark in zip(messages, marks, strict=True)],
            add_generation_prompt=add_generation_prompt,
        )
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        at = 0

        def add(piece_ids: list[int], piece_offsets: list[tuple[int, int]], length: int) -> None:
            nonlocal at
            ids.extend(piece_ids)
            offsets.extend((a + at, b + at) for a, b in piece_offsets)
            at += length

        rest = skeleton
        for mark, message in zip(marks, messages, strict=True):
            head, found, rest = rest.partition(mark)
            if not found:
                raise TemplateMismatch(
                    "The chat template drops a message, so its text cannot be kept apart from its marks."
                )
            encoding = self.tokenizer.encode(head, add_special_tokens=False)
            add(encoding.ids, encoding.offsets, len(head))
            add(*self._text_ids(message["content"]), len(message["content"]))
        encoding = self.tokenizer.encode(rest, add_special_tokens=False)
        add(encoding.ids, encoding.offsets, len(rest))
        return ids, offsets

    def _text_ids(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        self._literal.encode_special_tokens = True
        encoding = self._literal.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    @cached_property
    def _literal(self) -> Tokenizer:
        return Tokenizer.from_str(self.tokenizer.to_str())

    @cached_property
    def _special_strings(self) -> list[str]:
        added: dict[int, Any] = self.tokenizer.get_added_tokens_decoder()
        return [token.content for token in added.values()]


@lru_cache(maxsize=8)
def load_template(model_dir: str) -> ChatTemplate:
    """The template of a model folder, read once per process."""
    template = ChatTemplate(Path(model_dir))
    _give_back()
    return template
