"""A pasted table, record by record. It knows texts only; what the columns mean is said in grid_tables.py and pasting.py."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

SEPARATORS = "\t,;|"
MAX_FIELD = 500_000  # characters, as in workspace/variables.py
TOO_LONG = f"a field has more than {MAX_FIELD:,} characters"

csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD))  # of the whole process: data sets take longer ones


def records(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each record with the line on which it begins (a quoted field may span lines): its fields, or why it cannot be read.
    Blank ones are left out. The first line tells the separator."""
    first = next(iter(text.lstrip("\r\n").splitlines()), "")
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator if separator in first else ",", strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield begins, _reason(str(error))
            continue
        if any(len(field) > MAX_FIELD for field in fields):
            yield begins, TOO_LONG
        elif any(field.strip() for field in fields):
            yield begins, fields


def _reason(why: str) -> str:
    if "unexpected end" in why:
        return "a quotation mark opens here and is never closed"
    if "larger than" in why:
        return TOO_LONG
    if "expected after" in why:
        return "text follows a closing quotation mark; inside quotes, write a quotation mark twice"
    return why
