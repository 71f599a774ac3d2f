"""Blind mode: who sees what before the vote, and what a vote tells."""

from __future__ import annotations

import re

import pytest

from tests.workspace.conftest import cell, end_cell, grid_url, make_grid, text_of
from workspace.models import Feedback, GridVote, Role

HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def blind(answered):
    for position, name in enumerate(("Sesame", "Poppy")):
        answered.columns.filter(position=position).update(label=name)
    answered.change(blind=True)
    return answered


def rows_of(client, grid, row=0):
    return client.get(grid_url("grid_rows", grid), {"input": str(grid.inputs.get(position=row).pk)}).content.decode()


def secrets(grid):
    """Everything that would tell which answer is whose."""
    found = ["Sesame", "Poppy", "temperature", "first", "tokens/s"]
    for one in grid.cells():
        found += [str(one.pk), str(one.generation_id)]
    return [*found, *(str(pk) for pk in grid.columns.values_list("pk", flat=True))]


def test_blind_rows_hold_the_answers_and_nothing_that_tells_their_columns(as_bob, blind):
    row = rows_of(as_bob, blind)
    assert "cold house" in row and "warm house" in row
    assert not [secret for secret in secrets(blind) if secret in row]


def test_the_page_around_them_does_not_tell_either(as_bob, blind):
    page = as_bob.get(blind.get_absolute_url()).content.decode()
    table = page[page.index("<table") : page.index("</table>")]
    assert not [secret for secret in secrets(blind) if secret in table]
    ids = [str(pk) for pk in blind.cells().values_list("generation_id", flat=True)]
    assert not [one for one in ids if one in page]


def test_the_order_is_each_persons_own(blind, as_alice, as_bob, team, alice, base, prompt):
    answered = make_grid(team, alice, base, prompt.versions.get(), [f"w{n}" for n in range(12)])
    answered.start_run(alice)
    for row in range(12):
        for column, name in enumerate(("cold", "warm")):
            end_cell(cell(answered, column, row), f"{name} {row}")
    answered.change(blind=True)
    orders = []
    for client in (as_alice, as_bob):
        page = client.get(answered.get_absolute_url()).content.decode()
        orders.append("".join(re.findall(r'cell-text">(cold|warm)', page)))
    assert orders[0] != orders[1]
    assert orders[0] == "".join(
        re.findall(r'cell-text">(cold|warm)', as_alice.get(answered.get_absolute_url()).content.decode())
    )


def test_a_row_is_shown_once_all_its_answers_are_there(as_bob, blind, alice):
    blind.start_run(alice, inputs=[blind.inputs.get(position=0)])
    end_cell(cell(blind, 0, 0, run=2), "early bird")
    row = rows_of(as_bob, blind)
    assert "early bird" not in row and "1 of 2 answers are there" in row
    end_cell(cell(blind, 1, 0, run=2), "second mouse")
    assert "early bird" in rows_of(as_bob, blind)


def test_a_vote_reveals_the_row_to_the_voter_alone(as_bob, as_alice, blind, bob):
    row = rows_of(as_bob, blind)
    place = 1 if row.index("cold house") < row.index("warm house") else 2
    one = blind.inputs.get(position=0)
    shown = as_bob.post(
        grid_url("grid_vote", blind), {"input": one.pk, "run": 1, "choice": place}, **HTMX
    ).content.decode()
    vote = GridVote.objects.get()
    assert vote.column == blind.columns.get(position=0) and vote.user == bob
    assert "Sesame" in shown and "Your choice" in shown
    assert "Sesame" not in rows_of(as_alice, blind)
    assert "Sesame" not in rows_of(as_bob, blind, row=1), "the other row is still blind"


def test_a_tie_is_a_vote_too(as_bob, blind):
    as_bob.post(grid_url("grid_vote", blind), {"input": blind.inputs.first().pk, "choice": "0"})
    assert GridVote.objects.get().column is None
    assert "1 vote, 1 tie" in text_of(as_bob.get(blind.get_absolute_url()))


def test_before_the_vote_no_other_door_tells(as_bob, as_alice, blind, alice):
    found = cell(blind, 0, 0)
    Feedback.objects.create(generation=found.generation, user=alice, thumb=1)
    assert as_bob.get(grid_url("grid_cell", blind, cell_id=found.pk)).status_code == 404
    assert (
        as_bob.post(grid_url("grid_collect", blind), {"collect-name": "Picked", "collect-which": "good"}).status_code
        == 422
    ), "blind answers are not collected by column order"
    assert as_bob.get(grid_url("grid_progress", blind)).content.decode().count("vote") == 0
    as_bob.post(grid_url("grid_vote", blind), {"input": blind.inputs.first().pk, "choice": "1"})
    assert as_bob.get(grid_url("grid_cell", blind, cell_id=found.pk)).status_code == 200


def test_the_tally_counts_rows_that_the_reader_has_voted_on(as_bob, as_alice, blind):
    for client in (as_bob, as_alice):
        client.post(grid_url("grid_vote", blind), {"input": blind.inputs.first().pk, "choice": "1"})
    as_alice.post(grid_url("grid_vote", blind), {"input": blind.inputs.last().pk, "choice": "2"})
    assert "2 votes" in text_of(as_bob.get(grid_url("grid_progress", blind)))
    assert "3 votes" in text_of(as_alice.get(grid_url("grid_progress", blind)))


def test_a_vote_on_answers_that_have_changed_is_refused(as_bob, blind, alice):
    blind.start_run(alice)
    answer = as_bob.post(
        grid_url("grid_vote", blind), {"input": blind.inputs.first().pk, "run": 1, "choice": "1"}, **HTMX
    )
    assert answer.status_code == 409 and not GridVote.objects.exists()


def test_run_again_a_row_is_blind_again(as_bob, blind, alice):
    as_bob.post(grid_url("grid_vote", blind), {"input": blind.inputs.first().pk, "choice": "1"})
    blind.start_run(alice)
    for position in (0, 1):
        end_cell(cell(blind, position, 0, run=2), "new")
    assert "Sesame" not in rows_of(as_bob, blind)


def test_an_annotator_may_vote_and_a_viewer_may_not(as_dana, blind, team, dana):
    data = {"input": blind.inputs.first().pk, "choice": "1"}
    assert as_dana.post(grid_url("grid_vote", blind), data).status_code == 403
    team.memberships.filter(user=dana).update(role=Role.ANNOTATOR)
    as_dana.post(grid_url("grid_vote", blind), data)
    assert GridVote.objects.filter(user=dana).exists()
