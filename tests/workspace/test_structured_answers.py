"""An answer that was asked for as JSON, as the team sees it: the tree, what is wrong, the repair and what it repaired."""

import hashlib
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import Generation, State
from tests.workspace.conftest import answer
from workspace.models import Grid, GridCell, GridColumn, GridInput

pytestmark = pytest.mark.django_db

TOWN = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
GOOD, WRONG = '{"name": "Oslo"}', "Oslo, of course"


@pytest.fixture
def asked(team, chat, alice, infer_worker):
    """Ask in the chat for JSON, and answer as a worker would."""

    def ask(*texts):
        before = chat.path()
        reply = chat.send(alice, "Which town?", parent=before[-1].message.pk if before else None, client_id=uuid4().hex)
        Generation.objects.filter(pk=reply.generation_id).update(params={"json_schema": TOWN})
        for text in texts:
            [held] = Generation.objects.claim("test")
            held.conclude(
                State.SUCCEEDED, text=text, schema_problem=held.check_answer(text, "stop"), finish_reason="stop",
                text_sha256=hashlib.sha256(text.encode()).hexdigest(), sequence_number=1,
            )  # fmt: skip
        return chat.path()[-1].message

    return ask


@pytest.fixture
def read(as_alice, chat):
    return lambda: as_alice.get(chat.get_absolute_url()).content.decode()


def test_a_good_answer_is_a_tree_and_says_that_it_is_valid(asked, read):
    asked(GOOD)
    shown = read()
    assert "Valid JSON" in shown and "<json-tree" in shown and "Repaired" not in shown
    assert "js/json-tree.js" in shown and "css/json-tree.css" in shown


def test_while_a_repair_is_written_the_page_follows_it(asked, read):
    message = asked(WRONG)
    shown = read()
    assert "Being repaired" in shown and f'data-generation="{message.reply.pk}" data-state="queued"' in shown
    assert message.reply.repairs_id == message.generation_id


def test_a_repaired_answer_stands_with_what_it_repaired(asked, read):
    message = asked(WRONG, GOOD)
    shown = read()
    assert "Repaired once" in shown and "Valid JSON" in shown
    assert "The first answer, and what was wrong with it" in shown and WRONG in shown and "is not JSON" in shown
    assert message.content == GOOD


def test_an_answer_that_is_wrong_twice_says_what_is_wrong(asked, read):
    asked(WRONG, '{"town": "Oslo"}')
    shown = read()
    assert "Not by its schema" in shown and "Asked again once" in shown and "Valid JSON" not in shown
    assert "&#x27;name&#x27; is a required property" in shown


def test_the_conversation_goes_on_with_the_repaired_answer(asked, chat, alice):
    message = asked(WRONG, GOOD)
    after = chat.send(alice, "And its river?", parent=message.pk, client_id="next")
    assert [turn["content"] for turn in after.generation.messages] == ["Which town?", GOOD, "And its river?"]


def test_nothing_is_said_while_the_repair_is_not_done(asked, chat, alice):
    message = asked(WRONG)
    with pytest.raises(Exception, match="still being written"):
        chat.send(alice, "And its river?", parent=message.pk, client_id="next")


def test_an_answer_without_a_schema_is_shown_as_ever(chat, alice, read, infer_worker):
    answer(chat.send(alice, "Hello?", parent=None, client_id="c"), GOOD, finish_reason="stop")
    assert "<json-tree" not in read() and "Valid JSON" not in read()


def test_a_long_conversation_costs_no_more_queries(asked, as_alice, chat):
    client, url = as_alice, chat.get_absolute_url()
    counts = []
    asked(WRONG, GOOD)
    for _ in range(2):
        client.get(url)
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        counts.append(len(queries))
        for _ in range(4):
            asked(WRONG, GOOD)
    assert counts[0] == counts[1]


@pytest.fixture
def cell(team, alice, base):
    """A cell that asks for JSON and was given something else."""
    grid = Grid.objects.create(team=team, author=alice, name="Towns", run=1)
    column = GridColumn.objects.create(grid=grid, position=0, model=base, messages=[{"role": "user", "content": "Hi"}])
    line = GridInput.objects.create(grid=grid, position=0)
    generation = Generation.ask(
        team=team, author=alice, purpose="cell", model=base, adapter=None, messages=column.messages,
        params={"json_schema": TOWN},
    )  # fmt: skip
    made = GridCell.objects.create(column=column, input=line, run=1, generation=generation)
    end(WRONG)
    return made


def end(text):
    [held] = Generation.objects.claim("test")
    held.conclude(State.SUCCEEDED, text=text, schema_problem=held.check_answer(text, "stop"), finish_reason="stop")


def test_a_cell_of_the_playground_waits_for_its_repair_and_stops_it(cell):
    found = GridCell.objects.loaded().get()
    assert (found.state, found.is_live, found.text) == (State.QUEUED, True, "")
    assert GridCell.objects.unfinished().exists()
    cell.column.grid.cancel()
    found = GridCell.objects.loaded().get()
    assert (found.state, found.is_live, found.generation.text) == (State.CANCELLED, False, WRONG)
    assert not GridCell.objects.unfinished().exists()


def test_a_cell_and_its_panel_show_the_repair(cell, as_alice):
    grid = cell.column.grid
    waiting = as_alice.get(grid.get_absolute_url()).content.decode()
    repair = Generation.objects.get(repairs=cell.generation)
    assert f'data-generation="{repair.pk}"' in waiting and "Queued" in waiting
    end(GOOD)
    page = as_alice.get(grid.get_absolute_url()).content.decode()
    assert "Repaired" in page and "Oslo" in page and WRONG not in page
    panel = as_alice.get(f"{grid.get_absolute_url()}cells/{cell.pk}/").content.decode()
    assert "Repaired once" in panel and "<json-tree" in panel and WRONG in panel and "not JSON" in panel
