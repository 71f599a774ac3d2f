"""What chats need: something that could answer. No worker runs here; replies are ended by hand where a test needs their end."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from jobs.models import Adapter, Generation, LanguageModel, State, Worker
from jobs.tokenlog import TokenLog
from workspace.models import Chat, ExampleSet, Grid, GridCell, Message, Prompt, PromptVersion, Team, User


@pytest.fixture
def base(db: None) -> LanguageModel:
    model: LanguageModel = LanguageModel.objects.create(
        key="small", name="Small", folder="smollm2-135m-instruct", parameters=135_000_000, context_length=8192
    )
    return model


@pytest.fixture
def adapter(team: Team, base: LanguageModel) -> Adapter:
    return make_adapter(team, base)


def make_adapter(team: Team, base: LanguageModel, **fields: Any) -> Adapter:
    return Adapter.objects.create(
        team=team,
        base=base,
        name="French strings",
        folder="r/attempt-1/adapter",
        sha256="0" * 64,
        template_hash="",
        rank=16,
        **fields,
    )


@pytest.fixture
def chat(team: Team, alice: User, base: LanguageModel) -> Chat:
    return Chat.objects.create(team=team, author=alice, model=base)


@pytest.fixture
def infer_worker(db: None) -> Worker:
    return Worker.objects.create(name="infer@here:1", kind="infer", host="here", pid=1)


@pytest.fixture
def prompt(team: Team, alice: User) -> Prompt:
    """One variable, one version, no label."""
    return Prompt.start(
        team=team, author=alice, name="words/translate", messages=[{"role": "user", "content": "Translate {{word}}."}]
    )


@pytest.fixture
def example_set(team: Team, alice: User) -> ExampleSet:
    """Three words and their French."""
    found = ExampleSet.start(team=team, author=alice, name="Words")
    for word, french in (("house", "maison"), ("horse", "cheval"), ("tree", "arbre")):
        found.add(alice, input=word, output=french)
    return found


@pytest.fixture
def grid(team: Team, alice: User, base: LanguageModel, prompt: Prompt) -> Grid:
    """Two columns, cold and warm, by two words."""
    return make_grid(team, alice, base, prompt.versions.get(), ["house", "horse"])


def make_grid(
    team: Team,
    author: User,
    model: LanguageModel,
    version: PromptVersion,
    words: list[str],
    temperatures: tuple[float, ...] = (0.0, 1.0),
) -> Grid:
    grid = Grid.objects.create(team=team, author=author, name="Words")
    for temperature in temperatures:
        grid.add_column(prompt_version=version, model=model, params={"temperature": temperature})
    grid.add_inputs([{"word": word} for word in words])
    return grid


def cell(grid: Grid, column: int, row: int, run: int | None = None) -> GridCell:
    """The cell of a run (the latest) by the places of its column and its input."""
    cells = grid.cells().select_related("generation")
    return cells.get(column__position=column, input__position=row, run=run or Grid.objects.get(pk=grid.pk).run)


def answer(reply: Message, *pieces: str, state: State = State.SUCCEEDED, **fields: Any) -> Message:
    """Write a reply as a worker would: claimed, said piece by piece, finished."""
    log = TokenLog()
    [held] = Generation.objects.filter(pk=reply.generation_id).claim("test")
    for piece in pieces:
        log.append(held, piece)
    digest = hashlib.sha256(held.text.encode()).hexdigest()
    held.finish(state, text=held.text, sequence_number=held.sequence_number, text_sha256=digest, **fields)
    log.close(held)
    return Message.objects.select_related("generation").get(pk=reply.pk)
