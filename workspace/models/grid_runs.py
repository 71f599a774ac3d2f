"""What each cell of a grid's run asks: a column filled in with an input, or why it cannot be.

Everything that a column needs is looked up once, so that a cell costs no query of its own (unless its examples are
chosen by similarity). It stores nothing; the rows are workspace/models/grids.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.models import ConfigError, Generation
from workspace import prompts, variables
from workspace.models.includes import included_texts
from workspace.models.people import Team, User
from workspace.models.prompt_versions import Found
from workspace.prompts import Message, PromptError
from workspace.variables import Variable

if TYPE_CHECKING:
    from workspace.models.grid_cells import GridColumn


@dataclass(frozen=True)
class Asked:
    """One cell's question: a reply to queue, or no reply and a `problem`. With a reply, `problem` is a remark."""

    generation: Generation | None
    problem: str = ""
    examples: list[uuid.UUID] = field(default_factory=list)


class ColumnAsker:
    """A column, ready to be asked with many inputs. `known` are the variables of the whole grid: a value for one of
    those, which another column uses, is left out here without a word."""

    def __init__(self, column: GridColumn, author: User, known: Iterable[str]) -> None:
        self.column, self.author = column, author
        self.tokens: dict[tuple[str, ...], int | None] = {}
        self.found: Found | None = None
        self.trouble = ""
        try:
            self.found = look_up(column)
        except PromptError as error:
            self.trouble = str(error)
        texts = self.found.texts.values() if self.found else ()
        messages = column.prompt_version.messages if column.prompt_version else column.messages
        self.names = prompts.variables_in(messages, texts)
        self.known = {*known, *self.names}

    def ask(self, values: Mapping[str, Any]) -> Asked:
        if self.found is None:
            return Asked(None, self.trouble)
        unknown = [name for name in values if name not in self.known]
        try:
            used = {name: values[name] for name in self.names if name in values}
            return self._asked(self.found, used, remark(unknown))
        except PromptError as error:
            return Asked(None, f"{error} {remark(unknown)}".strip())
        except ConfigError as error:
            return Asked(None, str(error))

    def _asked(self, found: Found, values: Mapping[str, Any], problem: str) -> Asked:
        column = self.column
        who: dict[str, Any] = {
            "author": self.author, "model": column.model, "adapter": column.adapter, "params": column.params,
            "purpose": Generation.Purpose.CELL,
        }  # fmt: skip
        if version := column.prompt_version:
            rendered = version.render(values, omit=column.omit_id, count=self.count, found=found)
            generation = Generation.request(**version.asked(rendered, **who))
            return Asked(generation, problem, [example.pk for example in rendered.examples])
        parsed = variables.parse_values([Variable(name, "long") for name in self.names], values)
        messages = prompts.fill(column.messages, parsed, includes=found.texts)
        return Asked(Generation.request(team=column.grid.team, messages=messages, **who), problem)

    def count(self, messages: list[Message]) -> int | None:
        """Tokens, counted once for each example whatever the number of inputs."""
        key = tuple(message["content"] for message in messages)
        if key not in self.tokens:
            self.tokens[key] = self.column.model.prompt_tokens(messages)
        return self.tokens[key]


def look_up(column: GridColumn) -> Found:
    """What the column's prompt or messages refer to. Raises PromptError."""
    if column.prompt_version:
        return column.prompt_version.look_up()
    return Found(included_texts(column.grid.team, column.messages), [])


def remark(unknown: list[str]) -> str:
    """About values that no column of the grid knows: most often a name that was mistyped."""
    names = ", ".join(name[:64] for name in unknown)
    return (
        f"No prompt here uses {names}, so {'it was' if len(unknown) == 1 else 'they were'} left out." if names else ""
    )


def union(columns: Iterable[GridColumn]) -> list[Variable]:
    """The variables of all columns, each once, as the first column that has it declares it; required if any says so."""
    found: dict[str, Variable] = {}
    for column in columns:
        for variable in column.variables():
            first = found.setdefault(variable.name, variable)
            if variable.required and not first.required:
                found[variable.name] = Variable.from_dict({**first.to_dict(), "required": True})
    return list(found.values())


def typed_variables(team: Team, messages: list[Message]) -> list[Variable]:
    """The variables of messages typed into a column, those of the texts they include among them. All are long texts."""
    try:
        texts = included_texts(team, messages)
    except PromptError:
        texts = {}
    names = prompts.variables_in(messages, texts.values())
    return [Variable(name, "long") for name in names]
