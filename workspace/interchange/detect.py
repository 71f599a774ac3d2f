"""Which format a text is, with the evidence; several files in one text; and reading it by that format."""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from workspace.interchange import dotprompt, langfuse, markdown, openai, promptfoo, prompty
from workspace.interchange.bounded import FRONT, check_size, load_json
from workspace.interchange.drafts import MAX_BYTES, MOST, Draft, Problem, Reading, Refused, leaf

READERS: dict[str, Callable[[str, str], Reading]] = {
    "langfuse": lambda text, name: langfuse.read(text),
    "promptfoo": lambda text, name: promptfoo.read(text),
    "prompty": prompty.read,
    "dotprompt": dotprompt.read,
    "markdown": markdown.read,
    "openai": lambda text, name: openai.read(text),
}
ENDINGS = {".prompty": "prompty", ".prompt": "dotprompt"}
BUNDLE = re.compile(r"^={5} FILE (?P<name>.+?) ={5}[ \t]*\r?$\n?", re.M)


@dataclass(frozen=True)
class Guess:
    format: str  # empty: none of them
    evidence: str


@dataclass
class Whole:
    """All that was pasted or uploaded, read."""

    reading: Reading
    guesses: list[Guess] = field(default_factory=list)


def guess(text: str, filename: str = "") -> Guess:
    for ending, format_ in ENDINGS.items():
        if filename.lower().endswith(ending):
            return Guess(format_, f"The file's name ends in {ending}.")
    stripped = text.lstrip("\ufeff \t\r\n")
    if stripped[:1] in ("{", "["):
        return _json(stripped)
    if front := FRONT.match(text):
        return _front(front["front"], text[front.end() :])
    if found := re.search(r"^prompts\s*:", text, re.M):
        return Guess("promptfoo", f"It is YAML with {found[0].strip()} at the beginning of line {_line(text, found)}.")
    if found := openai.ID.search(text):
        return Guess("openai", f"It names {found[0]} in line {_line(text, found)}.")
    if found := re.search(r"""\{\{\s*role\s+["']""", text):
        return Guess("dotprompt", f"It holds {{{{role …}}}} in line {_line(text, found)}.")
    if found := prompty.ROLE.search(text):
        return Guess("prompty", f"Line {_line(text, found)} is only “{found[0].strip()}”.")
    return Guess("", "It looks like none of them. Choose the format if you know it.")


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1


def _json(text: str) -> Guess:
    try:
        whole = load_json(text)
    except Refused as problem:
        if openai.ID.search(text):
            return Guess("openai", "It holds an id of the form pmpt_….")
        first = text.splitlines()[0].strip()
        if first.endswith("}") and '"prompt"' in first:
            return Guess("langfuse", "Each line is JSON with a prompt.")
        return Guess("langfuse", f"It begins like JSON. {problem}")
    if isinstance(whole, dict) and isinstance(whole.get("data"), list):
        whole = whole["data"]
    one = whole[0] if isinstance(whole, list) and whole else whole
    if isinstance(one, dict):
        inner = one["prompt"] if isinstance(one.get("prompt"), dict) else one
        if openai.ID.fullmatch(str(inner.get("id", inner.get("prompt_id", "")))):
            return Guess("openai", "It is JSON with an id of the form pmpt_….")
        if "prompts" in one and "name" not in one:
            return Guess("promptfoo", "It is JSON with a list called prompts.")
        if "prompt" in one or "name" in one:
            fields = ", ".join(key for key in ("name", "type", "prompt", "labels", "config") if key in one)
            return Guess("langfuse", f"It is JSON with {fields}.")
    return Guess("", "It is JSON, but of none of the formats known here.")


def _front(front: str, body: str) -> Guess:
    if re.search(rf"^format:\s*{markdown.FORMAT}\s*$", front, re.M):
        return Guess("markdown", f"It says format: {markdown.FORMAT}.")
    if re.search(r"""\{\{\s*role\s+["']""", body):
        return Guess("dotprompt", "Behind the block between --- it holds {{role …}}.")
    if prompty.ROLE.search(body):
        return Guess("prompty", "Behind the block between --- are lines like “system:”.")
    if dotprompt.MARK.search(body):
        return Guess("dotprompt", "Behind the block between --- it holds {{history}}.")
    if re.search(r"^(input|output):", front, re.M):
        return Guess("dotprompt", "The block between --- has input or output.")
    if re.search(r"^prompts\s*:", body, re.M):
        return Guess("promptfoo", "It is YAML with a list called prompts.")
    return Guess("prompty", "It has a block between ---.")


def text_of(data: bytes, filename: str) -> str:
    """An uploaded file as text; a zip as one text of all its files. Raises Refused."""
    if len(data) > MAX_BYTES:
        raise Refused(
            f"{filename} has {len(data) / 2**20:.1f} MiB; at most {MAX_BYTES // 2**20} MiB are taken in at once."
        )
    if data[:4] == b"PK\x03\x04":
        return _unzipped(data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"{filename} is not UTF-8 text (byte {error.start:,}). Save it as UTF-8 and try again.") from None


def _unzipped(data: bytes) -> str:
    parts, size = [], 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and "__MACOSX" not in entry.filename]
            if len(entries) > MOST:
                raise Refused(f"The zip holds {len(entries):,} files; at most {MOST:,} are taken in at once.")
            for entry in sorted(entries, key=lambda entry: entry.filename):
                with archive.open(entry) as file:
                    content = file.read(MAX_BYTES - size + 1)  # what the zip says about sizes is not believed
                size += len(content)
                if size > MAX_BYTES:
                    raise Refused(f"The zip's files have more than {MAX_BYTES // 2**20} MiB together.")
                parts.append(f"===== FILE {entry.filename} =====\n{content.decode('utf-8-sig')}\n")
    except UnicodeDecodeError:
        raise Refused("The zip holds a file that is not UTF-8 text.") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
    ) as error:
        raise Refused(f"The zip cannot be read: {error}.") from None
    if not parts:
        raise Refused("The zip holds no file.")
    return "".join(parts)


def read(text: str, filename: str = "", format_: str = "") -> Whole:
    """Everything in it, by the format given or guessed. Raises Refused where nothing can be read at all."""
    if not text.strip():
        raise Refused("There is nothing in it. Paste a prompt, or choose a file.")
    check_size(text)
    pieces = BUNDLE.split(text)
    files = [(filename, text)]
    if len(pieces) > 1:
        files = [(name, content.removesuffix("\n")) for name, content in zip(pieces[1::2], pieces[2::2], strict=True)]
    whole = Whole(Reading())
    for name, content in files:
        found = Guess(format_, "You chose it.") if format_ in READERS else guess(content, name)
        whole.guesses.append(found)
        try:
            if not found.format:
                raise Refused(found.evidence)
            reading = READERS[found.format](content, name)
        except Refused as problem:
            if len(files) == 1:
                raise
            reading = Reading([Problem(name, leaf(name), str(problem))])
        for item in reading.items:
            if isinstance(item, Draft) and not item.name and not (item.alias and not item.messages):
                item.name = leaf(name) if name else ""
        whole.reading.items += reading.items
        whole.reading.remarks += reading.remarks
        whole.reading.cases += reading.cases
    if len(whole.reading.items) > MOST:
        raise Refused(f"At most {MOST:,} prompts are taken in at once; here are {len(whole.reading.items):,}.")
    return whole
