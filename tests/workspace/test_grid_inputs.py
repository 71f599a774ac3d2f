"""A grid's inputs: typed, pasted as a table, taken from a data set, changed and taken out."""

from __future__ import annotations

from tests.workspace.conftest import grid_url, make_grid, text_of
from workspace.models import Grid, GridInput

HTMX = {"HTTP_HX_REQUEST": "true"}


def test_an_input_is_typed_into_the_form_of_the_variables(as_bob, grid):
    form = as_bob.get(grid_url("grid_inputs", grid), **HTMX).content.decode()
    assert 'name="v-word"' in form
    as_bob.post(grid_url("grid_inputs", grid), {"v-word": "tree", "expected": "arbre"})
    added = grid.inputs.last()
    assert added.values == {"word": "tree"} and added.expected == "arbre" and added.position == 2


def test_what_is_missing_is_said_and_what_was_typed_stays(as_bob, grid):
    answer = as_bob.post(grid_url("grid_inputs", grid), {"v-word": "", "expected": "arbre"}, **HTMX)
    assert answer.status_code == 422 and "No value was given for word." in answer.content.decode()
    assert ">arbre</textarea>" in answer.content.decode() and grid.inputs.count() == 2


def test_a_table_adds_all_its_lines_or_none(as_bob, grid):
    url = grid_url("grid_table", grid)
    bad = as_bob.post(url, {"table-table": "word,expected\ntree,arbre\nbroken"}, **HTMX)
    assert bad.status_code == 422 and "Line 3 has 1 field; the header has 2." in bad.content.decode()
    assert "tree,arbre" in bad.content.decode() and grid.inputs.count() == 2
    good = as_bob.post(url, {"table-table": "word,expected,id\ntree,arbre,7\nsea,mer,8"}, **HTMX)
    assert "2 inputs added. Left out, because no prompt here uses them: id." in good.headers["HX-Trigger"]
    assert [(one.values, one.expected) for one in grid.inputs.all()][2:] == [
        ({"word": "tree"}, "arbre"),
        ({"word": "sea"}, "mer"),
    ]


def test_at_most_five_hundred_inputs(as_bob, grid):
    lines = "word\n" + "x\n" * 499
    answer = as_bob.post(grid_url("grid_table", grid), {"table-table": lines}, **HTMX)
    assert answer.status_code == 422 and "at most 500 inputs: this one has 2 and 499" in answer.content.decode()
    assert grid.inputs.count() == 2


def test_rows_of_a_data_set_become_inputs_with_their_answers_expected(as_bob, grid, dataset):
    data = {"rows-dataset": dataset.pk, "rows-variable": "word", "rows-count": "3"}
    as_bob.post(grid_url("grid_rows_of_dataset", grid), data)
    added = list(grid.inputs.all())[2:]
    assert [(one.values["word"], one.expected) for one in added] == [("q0", "a0"), ("q1", "a1"), ("q2", "a2")]
    assert added[0].row == dataset.rows.first()


def test_drawn_with_a_seed_the_same_rows_come_again(as_bob, team, alice, base, prompt, dataset):
    drawn = []
    for _ in range(2):
        made = make_grid(team, alice, base, prompt.versions.get(), [])
        data = {"rows-dataset": dataset.pk, "rows-variable": "word", "rows-count": "5", "rows-seed": "7"}
        as_bob.post(grid_url("grid_rows_of_dataset", made), data)
        drawn.append([one.values["word"] for one in made.inputs.all()])
    assert drawn[0] == drawn[1] != [f"q{n}" for n in range(5)]


def test_another_teams_data_set_gives_no_rows(as_charlie, other_team, charlie, dataset):
    made = Grid.objects.create(team=other_team, author=charlie, name="Mine")
    data = {"rows-dataset": dataset.pk, "rows-variable": "question", "rows-count": "3"}
    assert as_charlie.post(grid_url("grid_rows_of_dataset", made), data).status_code == 422
    assert not made.inputs.exists()


def test_an_input_is_changed_and_taken_out(as_bob, answered):
    row = answered.inputs.first()
    url = grid_url("grid_input", answered, input_id=row.pk)
    as_bob.post(url, {"v-word": "tree", "expected": ""})
    assert "Older" in text_of(as_bob.get(answered.get_absolute_url()))
    assert GridInput.objects.get(pk=row.pk).values == {"word": "tree"}
    as_bob.post(url, {"act": "remove"})
    assert answered.inputs.count() == 1 and answered.cells().count() == 2


def test_values_that_nothing_uses_are_named_and_can_be_left_out(as_bob, grid):
    row = grid.inputs.first()
    GridInput.objects.filter(pk=row.pk).update(values={"word": "house", "id": "7"})
    assert "No column uses id." in text_of(as_bob.get(grid.get_absolute_url()))
    as_bob.post(grid_url("grid_input", grid, input_id=row.pk), {"act": "tidy"})
    assert GridInput.objects.get(pk=row.pk).values == {"word": "house"}
