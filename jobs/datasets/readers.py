"""Reading an uploaded file line by line, in bounded memory: JSONL or a table, one entry a row.

An entry is a parsed object or the reason why its line cannot be read; either way the rest of the file is read on.
It does not know what a good row is (rows.py) nor where rows go (imports.py).
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.datasets.rows import BadRow
from jobs.models import Import

MAX_LINE = 4 * 2**20  # bytes of one line, characters of one field; more is a file that is not what it says
MAX_COLUMNS = 200
DELIMITERS = ",;\t|"

csv.field_size_limit(MAX_LINE)

Entry = tuple[int, Any]  # line number, and the object or a BadRow


class NotReadable(ValueError):
    """The file as a whole cannot be read; the message says why and what to do."""


def entries(path: Path, format: str) -> Iterator[Entry]:
    """Every row of the file. Lines count from 1; a table's header is line 1."""
    return table(path) if format == Import.Format.CSV else json_lines(path)


def json_lines(path: Path) -> Iterator[Entry]:
    for number, raw in _lines(path):
        if isinstance(raw, BadRow):
            yield number, raw
            continue
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            yield number, BadRow(f"is not UTF-8 (byte {error.start + 1} of the line)")
            continue
        if not text.strip():
            continue
        try:
            yield number, JSON.decode(text)
        except (ValueError, RecursionError) as error:
            yield number, BadRow(_json_reason(text, error))


def table(path: Path) -> Iterator[Entry]:
    """Rows of a CSV file as {column: text}. A quoted field may span lines; the number is where its row starts."""
    delimiter, columns = header(path)
    oversize: list[BadRow] = []
    marked: list[int] = []
    reader = csv.reader(_decoded(path, oversize, marked), delimiter=delimiter, strict=True)
    next(reader)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, BadRow(_csv_reason(error))
            continue
        if oversize:
            yield line, oversize.pop()
        elif marked and not all(_is_utf8(cell) for cell in cells):
            yield line, BadRow("is not UTF-8: save the table as “CSV UTF-8”")
        elif any(cells) and len(cells) != len(columns):
            yield line, BadRow(f"has {len(cells)} fields where the header has {len(columns)}; is a quote missing?")
        elif any(cells):
            yield line, dict(zip(columns, cells, strict=True))


def header(path: Path) -> tuple[str, list[str]]:
    """The delimiter and the columns' names. Raises NotReadable for a header that cannot be one."""
    first = next(_decoded(path, [], []), "")
    if not first.strip():
        raise NotReadable("The file has no header line. The first line of a table names its columns.")
    if not _is_utf8(first):
        raise NotReadable("The header is not UTF-8. Save the table as “CSV UTF-8” and upload it again.")
    delimiter = max(DELIMITERS, key=first.count)
    try:
        columns = [name.strip() for name in next(csv.reader([first], delimiter=delimiter, strict=True))]
    except csv.Error as error:
        raise NotReadable(f"The header line {_csv_reason(error)}.") from None
    if len(columns) > MAX_COLUMNS:
        raise NotReadable(f"The table has {len(columns):,} columns; at most {MAX_COLUMNS} are read.")
    if len(set(columns)) != len(columns) or "" in columns:
        raise NotReadable(
            "Every column needs a name of its own in the header line. Name them and upload the file again."
        )
    return delimiter, columns


def _lines(path: Path) -> Iterator[tuple[int, bytes | BadRow]]:
    """Raw lines without a byte order mark. A line that is too long is passed over, not held in memory."""
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise NotReadable("The file is UTF-16. Save it as UTF-8 and upload it again.")
        file.seek(len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0)
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield number, BadRow(f"is longer than {MAX_LINE // 2**20} MiB")
            else:
                yield number, line


def _decoded(path: Path, oversize: list[BadRow], marked: list[int]) -> Iterator[str]:
    """Text for the csv module. What is not UTF-8 comes through marked (as surrogates), so that its row can be named;
    `marked` has the first such line, and while it is empty no row needs a look."""
    for number, raw in _lines(path):
        if isinstance(raw, BadRow):
            oversize.append(raw)
            yield "\n"
            continue
        try:
            yield raw.decode()
        except UnicodeDecodeError:
            marked[:] = marked or [number]
            yield raw.decode(errors="surrogateescape")


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


JSON = json.JSONDecoder(parse_constant=_no_constant)


def _json_reason(text: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if text.strip() in ("[", "{"):
        return "is only part of a JSON value: in JSONL every line is one whole object"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg[0].lower()}{error.msg[1:]}, at character {error.colno}"
    return f"is not JSON: {error}"


def _csv_reason(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text or "field larger" in text:
        return "opens a quote that is never closed"
    if "expected after" in text:
        return "has text after a closing quote; a quote inside a field is written twice"
    return f"cannot be read: {text}"
