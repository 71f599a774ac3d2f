"""A grid's runs: which cells are asked, with what, and what is said of those that cannot be."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import tasks
from jobs.models import Generation
from tests.workspace.conftest import cell, make_grid
from workspace.models import Grid, GridInput, GridRefused, Prompt


def test_a_run_asks_every_column_with_every_input(grid, alice):
    assert grid.start_run(alice) == grid.run == 1
    found = cell(grid, 1, 0)
    assert found.generation.messages == [{"role": "user", "content": "Translate house."}]
    assert found.generation.params == {"temperature": 1.0} and found.generation.purpose == "cell"
    assert (
        found.generation.author == alice
        and found.generation.prompt_version == grid.columns.get(position=1).prompt_version
    )
    assert Generation.objects.count() == 4
    assert cell(grid, 0, 1).generation.messages[0]["content"] == "Translate horse."


def test_a_run_of_some_cells_leaves_the_earlier_ones(grid, alice):
    grid.start_run(alice)
    before = cell(grid, 0, 0)
    assert grid.start_run(alice, columns=[grid.columns.get(position=1)], inputs=[grid.inputs.get(position=0)]) == 2
    assert Generation.objects.count() == 5
    assert cell(grid, 1, 0, run=2).generation_id != cell(grid, 1, 0, run=1).generation_id
    assert cell(grid, 0, 0, run=1) == before


def test_cells_are_answered_input_by_input(grid, alice):
    grid.start_run(alice)
    asked = [one.messages[0]["content"] for one in Generation.objects.order_by("queued_at", "pk")]
    assert asked == ["Translate house.", "Translate house.", "Translate horse.", "Translate horse."]


def test_a_missing_variable_is_named_in_its_cells_and_the_others_run(grid, alice):
    grid.inputs.filter(position=1).update(values={"wrod": "horse"})
    grid.start_run(alice)
    assert Generation.objects.count() == 2
    broken = cell(grid, 0, 1)
    assert broken.generation is None
    assert broken.problem == "No value was given for word. No prompt here uses wrod, so it was left out."


def test_a_value_that_nothing_uses_is_named_and_does_not_stop_the_cell(grid, alice):
    grid.inputs.filter(position=1).update(values={"word": "horse", "id": "7"})
    grid.start_run(alice)
    odd = cell(grid, 0, 1)
    assert odd.generation and odd.problem == "No prompt here uses id, so it was left out."


def test_columns_with_different_variables_share_the_inputs(grid, alice, base):
    grid.columns.create(position=2, model=base, messages=[{"role": "user", "content": "Say {{word}} {{tone}}."}])
    grid.inputs.update(values={"word": "house", "tone": "softly"})
    grid.start_run(alice)
    assert cell(grid, 0, 0).problem == "", "tone belongs to another column"
    assert cell(grid, 2, 0).generation.messages[0]["content"] == "Say house softly."
    assert [variable.name for variable in grid.variables()] == ["word", "tone"]


def test_values_are_never_read_as_a_template(grid, alice, base):
    grid.columns.create(position=2, model=base, messages=[{"role": "user", "content": "{{word}}"}])
    grid.inputs.update(values={"word": "{{word}} {{> other}}"})
    grid.start_run(alice)
    assert cell(grid, 2, 0).generation.messages[0]["content"] == "{{word}} {{> other}}"


def test_a_parameter_out_of_bounds_is_said_in_its_cells(grid, alice):
    grid.columns.filter(position=0).update(params={"temperature": 9})
    grid.start_run(alice)
    assert "temperature must be between 0 and 2" in cell(grid, 0, 0).problem
    assert cell(grid, 1, 0).generation


def test_the_examples_are_kept_with_the_cell_and_one_can_be_left_out(grid, alice, prompt, example_set):
    version = prompt.save_version(
        alice, based_on=None, messages=[{"role": "user", "content": "Translate {{word}}."}], examples=example_set.newest
    )
    house, horse, tree = example_set.newest.order
    grid.columns.filter(position=0).update(prompt_version=version)
    grid.columns.filter(position=1).update(prompt_version=version, omit=horse)
    grid.start_run(alice)
    assert cell(grid, 0, 0).examples == [house, horse, tree]
    assert cell(grid, 1, 0).examples == [house, tree]
    assert [turn["content"] for turn in cell(grid, 1, 0).generation.messages] == [
        "Translate house.", "maison", "Translate tree.", "arbre", "Translate house.",
    ]  # fmt: skip


def test_a_deleted_include_is_named_in_the_cells_of_its_column_alone(grid, alice, team):
    tone = Prompt.start(
        team=team, author=alice, name="tone", kind="text", messages=[{"role": "user", "content": "Be brief."}]
    )
    outer = Prompt.start(
        team=team, author=alice, name="outer", messages=[{"role": "user", "content": "{{> tone@latest}} {{word}}"}]
    )
    grid.columns.filter(position=0).update(prompt_version=outer.versions.get())
    tone.archive(alice)
    grid.start_run(alice)
    assert "tone" in cell(grid, 0, 0).problem and cell(grid, 1, 0).generation


def test_too_many_cells_are_refused_and_nothing_is_queued(grid, alice, base, prompt):
    for position in range(2, 5):
        grid.columns.create(position=position, prompt_version=prompt.versions.get(), model=base)
    GridInput.objects.bulk_create(GridInput(grid=grid, position=n, values={"word": "x"}) for n in range(2, 401))
    with pytest.raises(GridRefused, match="2,005 cells; at most 2,000"):
        grid.start_run(alice)
    assert not Generation.objects.exists()


def test_what_is_missing_is_asked_once_however_often_one_presses(grid, alice):
    first, second = Grid.objects.get(pk=grid.pk), Grid.objects.get(pk=grid.pk)
    first.run_missing(alice)
    with pytest.raises(GridRefused, match="Every cell has its answer"):
        second.run_missing(alice)
    assert grid.cells().count() == 4


def test_what_was_removed_meanwhile_is_said(grid, alice):
    column, row = grid.columns.first(), grid.inputs.first()
    grid.remove_column(column)
    grid.remove_inputs(grid.inputs.filter(pk=row.pk))
    with pytest.raises(GridRefused, match="removed meanwhile"):
        grid.move_column(column, 1)
    with pytest.raises(GridRefused, match="at least one column and one input"):
        grid.start_run(alice, inputs=[row])
    assert grid.add_column(after=column, model=column.model).position == 1


def test_an_empty_grid_says_what_it_lacks(team, alice):
    with pytest.raises(GridRefused, match="at least one column and one input"):
        Grid.objects.create(team=team, author=alice, name="Empty").start_run(alice)


def test_a_hundred_cells_cost_no_more_queries_than_four_and_ring_once(
    grid, alice, team, base, prompt, example_set, monkeypatch, django_capture_on_commit_callbacks
):
    rings = []
    tasks.ring("infer")  # has been heard: whatever rings from now on is new
    monkeypatch.setattr(tasks.ring, "apply_async", lambda *args, **kwargs: rings.append(args))
    version = prompt.save_version(
        alice, based_on=None, messages=[{"role": "user", "content": "Translate {{word}}."}], examples=example_set.newest
    )
    large = make_grid(team, alice, base, version, [f"word {n}" for n in range(50)])
    small = make_grid(team, alice, base, version, ["one", "two"])
    with CaptureQueriesContext(
        connection,
    ) as few:
        small.start_run(alice)
    with CaptureQueriesContext(connection) as many, django_capture_on_commit_callbacks(execute=True):
        large.start_run(alice)
    assert len(many) == len(few) < 30
    assert Generation.objects.filter(prompt_version=version).count() == 104
    assert len(rings) == 1
