"""A pasted table as the inputs of a grid. It knows texts and names; not rows, people or models."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from workspace.prompts import NAME
from workspace.tables import records

EXPECTED = "expected"  # the column that holds the answer one hopes for
MOST_SHOWN = 10  # bad lines that are listed
MAX_COLUMNS = 200


class BadTable(ValueError):
    """A table that cannot be read. `problems` are sentences, each with its line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0])
        more = len(problems) - MOST_SHOWN
        self.problems = [*problems[:MOST_SHOWN], *([f"And {more:,} more lines."] if more > 0 else [])]


@dataclass(frozen=True)
class Table:
    names: list[str]  # of the variables, as the header has them
    rows: list[dict[str, str]]  # the values; empty fields are left out
    expected: list[str]  # for each row; empty where nothing is expected
    unused: list[str] = field(default_factory=list)  # columns that were left out


def read_table(text: str, known: Collection[str], *, most: int, keep_unused: bool = False) -> Table:
    """CSV or TSV with a header line. `known` are the variables there are: other columns are left out, unless they are
    to be kept or nothing is known yet. Raises BadTable, with every line that is wrong."""
    text = text.lstrip("\ufeff").replace("\x00", "")
    if not text.strip():
        raise BadTable(
            ["There is nothing to read. Paste a header line with the variables' names, and a line for each input."]
        )
    lines = _lines(text)
    if not lines:
        raise BadTable(["Line 1 is to name the variables, and there are only empty fields."])
    header = _checked_header(lines[0][1])
    problems, rows = [], []
    for number, fields in lines[1:]:
        if len(fields) != len(header):
            has = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
            problems.append(f"Line {number} has {has}; the header has {len(header)}.")
        rows.append(fields)
    if problems:
        raise BadTable(problems)
    if not rows:
        raise BadTable(["Line 1 is the header, and no line comes after it. Add a line for each input."])
    if len(rows) > most:
        raise BadTable([f"This table has {len(rows):,} inputs; a grid has at most {most:,}. Paste fewer lines."])
    return _table(header, rows, known, keep_unused)


def _table(header: list[str], rows: list[list[str]], known: Collection[str], keep_unused: bool) -> Table:
    variables = [name for name in header if name.lower() != EXPECTED or name in known]
    unused = [] if keep_unused or not known else [name for name in variables if name not in known]
    used = [name for name in variables if name not in unused]
    if not used and known:
        raise BadTable([
            f"Line 1 names {', '.join(header)}, and none of these is a variable here. The variables are "
            f"{', '.join(known)}: the header must use these names."
        ])  # fmt: skip
    if bad := next((name for name in used if not re.fullmatch(NAME, name)), None):
        raise BadTable([
            f"Line 1 has the column “{bad[:60]}”, which cannot be a variable: a name has letters, digits, _ - and dots, "
            "and begins with a letter."
        ])  # fmt: skip
    at = next((i for i, name in enumerate(header) if name.lower() == EXPECTED and name not in known), None)
    values = [{name: row[header.index(name)] for name in used if row[header.index(name)]} for row in rows]
    return Table(used, values, ["" if at is None else row[at] for row in rows], unused)


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """All records with their lines, or BadTable for the first that cannot be read."""
    found = []
    for line, fields in records(text):
        if isinstance(fields, str):
            raise BadTable([f"Line {line} cannot be read: {fields}."])
        found.append((line, fields))
    return found


def _checked_header(fields: list[str]) -> list[str]:
    header = [name.strip() for name in fields]
    if "" in header:
        raise BadTable([f"Line 1 is the header, and its column {header.index('') + 1} has no name."])
    if len(header) > MAX_COLUMNS:
        raise BadTable([f"Line 1 is the header, and it names {len(header):,} columns; at most {MAX_COLUMNS} are read."])
    if doubled := next((name for name in header if header.count(name) > 1), None):
        raise BadTable([f"Line 1 is the header, and it names {doubled} twice."])
    return header
