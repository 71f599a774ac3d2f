"""The text of a file that someone brings into a conversation: plain text of any kind, PDF, DOCX.

`read` is what the web process calls. Text it decodes itself; PDF and DOCX, whose makers may be hostile, are opened in a
child process with limits on memory, processor time and wall time, so that no file can take the web process down.
It knows paths and names, and nothing of rows or requests.
"""

from __future__ import annotations

import codecs
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs.texts import typed

MAX_BYTES = 20 * 2**20  # of the file
MAX_PAGES = 200
MAX_CHARACTERS = 500_000  # kept
MAX_UNPACKED = 100 * 2**20  # of a DOCX, all parts together
MAX_PARTS = 5_000
SECONDS = 20
MEMORY = 1536 * 2**20  # of the child, address space

KINDS = "text, Markdown, CSV, code, PDF or DOCX"


class NotReadable(ValueError):
    """A file whose text cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Document:
    """The text that is kept; `note` says what is missing from it, if anything."""

    text: str
    note: str = ""


def read(path: Path, filename: str) -> Document:
    """Raises NotReadable."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise NotReadable(
            f"{filename} has {size / 2**20:,.1f} MB; at most {MAX_BYTES // 2**20} MB can be read. Split it."
        )
    with path.open("rb") as file:
        head = file.read(2048)
    if not head.strip():
        raise NotReadable(f"{filename} is empty.")
    if b"%PDF-" in head[:1024]:
        found = _apart("pdf", path, filename)
    elif head.startswith(b"PK\x03\x04"):
        found = _apart("docx", path, filename)
    else:
        found = kept(decoded(path.read_bytes(), filename))
    if not found.text:
        raise NotReadable(f"{filename} holds no text.")
    return found


def kept(text: str, note: str = "") -> Document:
    """As much of a file's text as is kept, and a note on what is not."""
    text = tidy(text)
    if len(text) > MAX_CHARACTERS:
        note = f"{note + '; ' if note else ''}the first {MAX_CHARACTERS:,} of {len(text):,} characters"
    return Document(text[:MAX_CHARACTERS], note)


def decoded(raw: bytes, filename: str) -> str:
    """UTF-8, UTF-16 with its mark, or Windows' Western European; anything with the bytes of a binary file is refused."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\x00" in raw:
        raise NotReadable(f"{filename} is not text. {KINDS.capitalize()} can be brought in.")
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if sum(not char.isprintable() and char not in "\n\r\t\f" for char in text[:4000]) <= len(text[:4000]) // 20:
            return text
    raise NotReadable(f"{filename} is not text that can be read here. {KINDS.capitalize()} can be brought in.")


def tidy(text: str) -> str:
    """One kind of line end, no NULs or lone surrogates (no database keeps them), no more than two blank lines running."""
    text = typed(text).replace("\r", "\n")
    return re.sub(r"\n{4,}", "\n\n\n", text).strip()


# --- the child process


def _apart(kind: str, path: Path, filename: str) -> Document:
    """Have a child read the file. Whatever goes wrong there is a sentence here, and no more comes back than is kept."""
    command = [sys.executable, "-m", "workspace.documents", kind, str(path)]
    root = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, timeout=SECONDS, check=False)
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise NotReadable(
            f"{filename} could not be read within {SECONDS} seconds. Save it anew, or bring in fewer pages."
        ) from None
    except ValueError:
        raise NotReadable(
            f"{filename} could not be read: it is damaged, or unpacks to more than is taken. Save it anew and try again."
        ) from None
    if problem := answer.get("problem"):
        raise NotReadable(f"{filename} {problem}")
    return Document(**answer)


class _Problem(Exception):
    """What is wrong, to stand after the file's name."""


def pdf(path: str) -> dict[str, str]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise _Problem("is protected by a password. Save it without one and try again.")
        pages = len(reader.pages)
    except PyPdfError as error:
        raise _Problem("is damaged, or not a PDF after all. Save it anew and try again.") from error
    texts, failed, length = [], 0, 0
    for page in reader.pages[:MAX_PAGES]:
        try:
            texts.append(page.extract_text())
            length += len(texts[-1])
        except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            failed += 1
        if length > 4 * MAX_CHARACTERS:
            break
    if not any(text.strip() for text in texts):
        raise _Problem(
            "holds pictures of pages and no text, as a scan does. Run text recognition (OCR) on it first, or paste its words."
        )
    notes = []
    if pages > MAX_PAGES:
        notes.append(f"the first {MAX_PAGES} of {pages} pages")
    if failed:
        notes.append(f"{failed} page{'s' if failed > 1 else ''} could not be read")
    return {"text": "\n\n".join(texts), "note": "; ".join(notes)}


def docx(path: str) -> dict[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise _Problem("is damaged. Save it anew and try again.") from error
    if "word/document.xml" not in {part.filename for part in parts}:
        raise _Problem(f"is not a DOCX file. {KINDS.capitalize()} can be brought in.")
    # zipfile reads no more of a part than its directory says, so these sums bound what is unpacked.
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise _Problem(f"unpacks to more than {MAX_UNPACKED // 2**20} MB, which is not taken.")
    import docx as python_docx
    from docx.table import Table

    try:
        document = python_docx.Document(path)
        lines = [
            _table(block) if isinstance(block, Table) else _paragraph(block) for block in document.iter_inner_content()
        ]
    except Exception as error:
        raise _Problem("is damaged, or not a DOCX file after all. Save it anew and try again.") from error
    return {"text": "\n\n".join(line for line in lines if line), "note": ""}


def _paragraph(paragraph: Any) -> str:
    style = (paragraph.style.name if paragraph.style is not None else "") or ""
    text = paragraph.text.strip()
    if text and (level := re.fullmatch(r"Heading ([1-6])", style)):
        return f"{'#' * int(level[1])} {text}"
    return f"- {text}" if text and style.startswith("List") else str(text)


def _table(table: Any) -> str:
    return "\n".join(" | ".join(" ".join(cell.text.split()) for cell in row.cells) for row in table.rows)


def main(kind: str, path: str) -> None:
    """Read one file under limits and print its text, or what is wrong, as JSON."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer = asdict(kept(**{"pdf": pdf, "docx": docx}[kind](path)))
    except _Problem as problem:
        answer = {"problem": str(problem)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
