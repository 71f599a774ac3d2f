"""What the tests of the workspace share: something that could answer, prompts, sets, grids and rows, and what is asked of them.

No worker runs here; replies are ended by hand where a test needs their end.
"""

from __future__ import annotations

import hashlib
import html
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import Adapter, Dataset, Generation, LanguageModel, State, Worker
from jobs.tokenlog import TokenLog
from workspace.models import Chat, ExampleSet, Grid, GridCell, Message, Notification, Prompt, PromptVersion, Team, User

HX = {"HX-Request": "true"}


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


@pytest.fixture
def answered(grid, alice):
    """Every cell has its answer: “cold house”, “warm house”, ..."""
    grid.start_run(alice)
    for column, name in enumerate(("cold", "warm")):
        for row, word in enumerate(("house", "horse")):
            end_cell(cell(grid, column, row), f"{name} {word}", completion_tokens=2, first_token_ms=100, total_ms=300)
    return grid


@pytest.fixture
def dataset(team, alice):
    found = Dataset.objects.create(team=team, author=alice, name="Words", sha256="0" * 64, counts={"train": 30})
    for n in range(30):
        turns = [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}]
        found.rows.create(position=n, split="train", messages=turns)
    return found


def end_cell(found, text, **fields):
    """End a cell's answer as a worker would."""
    Generation.objects.filter(pk=found.generation_id).update(state=State.RUNNING)
    Generation.objects.filter(pk=found.generation_id).update(
        state=State.SUCCEEDED, text=text, sequence_number=1, **{"finish_reason": "stop", **fields}
    )
    return found


def team_url(name: str, team: Team, **ids: Any) -> str:
    return reverse(name, kwargs={"team": team.slug, **ids})


def grid_url(name: str, grid: Grid, **ids: Any) -> str:
    return team_url(name, grid.team, grid_id=grid.pk, **ids)


def text_of(response: Any) -> str:
    """The words on a page, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def set_url(found: ExampleSet, rest: str = "") -> str:
    return found.get_absolute_url() + rest


def pairs_in(found: ExampleSet) -> list[tuple[str, str]]:
    return [(example.input, example.output) for example in found.newest.ordered()]


def page_of(response: Any) -> str:
    return re.sub(r"\s+", " ", response.content.decode())


def words_on(response: Any) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page_of(response)))


@pytest.fixture
def row(team):
    dataset = Dataset.objects.create(team=team, name="Rows", sha256="0" * 64, counts={"train": 1})
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    return dataset.rows.create(position=11, split="train", messages=talk)


def comments_url(team: Team, kind: str, thing: Any, part: int | None = None) -> str:
    return f"/t/{team.slug}/comments/on/{kind}/{getattr(thing, 'pk', thing)}/{'' if part is None else f'?part={part}'}"


def comment_on(
    client: Client, team: Team, kind: str, thing: Any, text: str, part: int | None = None, **fields: Any
) -> Any:
    return client.post(comments_url(team, kind, thing, part), {"text": text, **fields}, headers=HX)


def comments_panel(client: Client, team: Team, kind: str, thing: Any, show: str = "open") -> str:
    return client.get(f"{comments_url(team, kind, thing)}?show={show}", headers=HX).content.decode()


def told(user: User) -> list[tuple[str, str]]:
    """What the bell says to someone."""
    return [(note.reason, note.text) for note in Notification.objects.filter(user=user).order_by("pk")]
