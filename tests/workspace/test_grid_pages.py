"""The playground's list and the page of one grid: starting, running, stopping, copying, archiving."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.models import Generation, State
from tests.workspace.conftest import cell, end_cell, grid_url, make_grid, text_of
from workspace.models import Activity, Grid

HTMX = {"HTTP_HX_REQUEST": "true"}


# --- the list


def test_an_empty_list_offers_an_example_that_can_be_run_at_once(as_alice, team, base):
    page = as_alice.get(reverse("grids", args=[team.slug]))
    assert "Open an example grid" in page.content.decode()
    as_alice.post(reverse("grid_new", args=[team.slug]), {"example": "1"})
    made = Grid.objects.get()
    as_alice.post(grid_url("grid_run", made))
    assert Generation.objects.filter(state="queued", purpose="cell").count() == 6


def test_without_a_model_the_list_says_so_and_offers_none(as_alice, team):
    page = as_alice.get(reverse("grids", args=[team.slug])).content.decode()
    assert "no" in page and "Open an example grid" not in page
    as_alice.post(reverse("grid_new", args=[team.slug]), {"example": "1"})
    assert not Grid.objects.exists()


def test_a_grid_starts_with_a_prompts_version(as_bob, team, base, prompt):
    as_bob.post(reverse("grid_new", args=[team.slug]), {"prompt_version": prompt.versions.get().pk})
    made = Grid.objects.get()
    assert made.name == prompt.name and made.columns.get().prompt_version == prompt.versions.get()


def test_its_column_is_answered_by_whom_the_prompt_names(as_bob, team, alice, base, adapter, prompt):
    """A model or an adapter, by its id on /v1/models."""
    named = prompt.save_version(
        alice, based_on=None, messages=[{"role": "user", "content": "{{word}}"}], config={"model": adapter.key}
    )
    as_bob.post(reverse("grid_new", args=[team.slug]), {"prompt_version": named.pk})
    column = Grid.objects.get().columns.get()
    assert (column.model, column.adapter) == (base, adapter)


def test_a_grid_starts_with_a_data_set_and_offers_its_rows(as_bob, team, base, dataset):
    answer = as_bob.post(reverse("grid_new", args=[team.slug]), {"dataset": dataset.pk})
    made = Grid.objects.get()
    assert made.name == "Words" and answer.url == f"{made.get_absolute_url()}?dataset={dataset.pk}"
    form = as_bob.get(grid_url("grid_inputs", made), {"dataset": dataset.pk}, **HTMX).content.decode()
    assert f'<option value="{dataset.pk}" selected>' in form
    as_bob.post(grid_url("grid_rows_of_dataset", made), {"rows-dataset": dataset.pk, "rows-variable": "question"})
    as_bob.post(grid_url("grid_run", made))
    assert cell(made, 0, 0).generation.messages == [{"role": "user", "content": "q0"}]


def test_a_foreign_prompt_starts_nothing(as_charlie, other_team, base, prompt):
    answer = as_charlie.post(reverse("grid_new", args=[other_team.slug]), {"prompt_version": prompt.versions.get().pk})
    assert answer.status_code == 404 and not Grid.objects.exists()


def test_grids_are_found_by_their_prompts(as_dana, team, alice, base, grid):
    other = Grid.objects.create(team=team, author=alice, name="Other")
    page = as_dana.get(reverse("grids", args=[team.slug]), {"q": "translate"}).content.decode()
    assert grid.get_absolute_url() in page and other.get_absolute_url() not in page


def test_the_list_costs_the_same_for_one_grid_and_for_twenty(
    as_dana, team, alice, base, prompt, django_assert_num_queries
):
    url = reverse("grids", args=[team.slug])
    make_grid(team, alice, base, prompt.versions.get(), ["a"])
    as_dana.get(url)
    with CaptureQueriesContext(connection) as few:
        as_dana.get(url)
    for _ in range(19):
        make_grid(team, alice, base, prompt.versions.get(), ["a", "b"])
    with django_assert_num_queries(len(few)):
        as_dana.get(url)


# --- one grid


def test_a_grid_costs_the_same_for_two_rows_and_for_twenty(as_dana, team, alice, base, prompt):
    counts = []
    for words in (["a", "b"], [f"w{n}" for n in range(20)]):
        made = make_grid(team, alice, base, prompt.versions.get(), words, temperatures=(0.0, 0.5, 1.0)[: len(words)])
        made.start_run(alice)
        as_dana.get(made.get_absolute_url())
        with CaptureQueriesContext(connection) as queries:
            as_dana.get(made.get_absolute_url())
        counts.append(len(queries))
    assert counts[0] == counts[1] < 40


def test_a_cell_shows_its_answer_and_its_figures(as_dana, answered):
    shown = text_of(as_dana.get(answered.get_absolute_url()))
    assert "cold house" in shown and "0.1 s first" in shown and "0.3 s" in shown and "5 tokens/s" in shown


def test_a_long_grid_comes_in_windows(as_dana, team, alice, base, prompt):
    made = make_grid(team, alice, base, prompt.versions.get(), [f"w{n}." for n in range(60)])
    page = as_dana.get(made.get_absolute_url()).content.decode()
    assert "w24." in page and "w25." not in page and 'data-from="25"' in page
    rows = as_dana.get(grid_url("grid_rows", made), {"from": "50"}).content.decode()
    assert "w59." in rows and "data-from" not in rows


def test_while_its_json_is_repaired_a_cell_is_not_finished(as_dana, answered, team, alice, base):
    first = cell(answered, 0, 0).generation
    repair = Generation.ask(
        team=team, author=alice, purpose="cell", model=base, adapter=None, messages=first.messages, params={}
    )
    Generation.objects.filter(pk=first.pk).update(schema_problem="It is not JSON.")
    Generation.objects.filter(pk=repair.pk).update(repairs=first)
    assert "3 of 4 cells" in text_of(as_dana.get(grid_url("grid_progress", answered)))
    row = as_dana.get(grid_url("grid_rows", answered), {"input": answered.inputs.first().pk}).content.decode()
    assert f'data-generation="{repair.pk}"' in row and "Queued" in row
    answered.cancel()
    repair.refresh_from_db()
    assert repair.state == State.CANCELLED


def test_a_queued_cell_says_its_place(as_dana, grid, alice):
    grid.start_run(alice)
    assert "place 1" in text_of(as_dana.get(grid.get_absolute_url()))


def test_earlier_runs_stay_and_one_cell_run_again_stands_among_the_others(as_bob, answered):
    column, row = answered.columns.first(), answered.inputs.first()
    as_bob.post(grid_url("grid_run", answered), {"column": column.pk, "input": row.pk})
    answered.refresh_from_db()
    end_cell(cell(answered, 0, 0, run=2), "cold house again")
    now = text_of(as_bob.get(answered.get_absolute_url()))
    assert "cold house again" in now and "warm house" in now
    then = text_of(as_bob.get(answered.get_absolute_url(), {"run": "1"}))
    assert "cold house" in then and "cold house again" not in then and "As it was after run 1" in then


def test_a_changed_column_marks_its_answers_as_older_and_missing_cells_run_alone(as_bob, answered, base):
    column = answered.columns.first()
    data = {
        "column-source": "messages",
        "role": "user",
        "content": "Say {{word}}.",
        "column-answers": f"model:{base.pk}",
    }
    assert as_bob.post(grid_url("grid_column", answered, column_id=column.pk), data, **HTMX).status_code == 204
    assert "Older" in text_of(as_bob.get(answered.get_absolute_url()))
    as_bob.post(grid_url("grid_run", answered), {"which": "missing"})
    answered.refresh_from_db()
    asked = Generation.objects.filter(state="queued")
    assert {one.messages[0]["content"] for one in asked} == {"Say house.", "Say horse."}


def test_a_new_name_alone_makes_no_answer_older(as_bob, answered, base):
    column = answered.columns.first()
    data = {
        "column-source": "prompt", "column-prompt_version": column.prompt_version_id, "column-label": "Cold",
        "column-answers": f"model:{base.pk}", "column-temperature": "0",
    }  # fmt: skip
    as_bob.post(grid_url("grid_column", answered, column_id=column.pk), data)
    page = text_of(as_bob.get(answered.get_absolute_url()))
    assert "Cold" in page and "Older" not in page


def test_nothing_missing_is_said(as_bob, answered):
    answer = as_bob.post(grid_url("grid_run", answered), {"which": "missing"}, **HTMX)
    assert "Every cell has its answer" in answer.headers["HX-Trigger"]


def test_stop_all_ends_what_waits_and_asks_the_worker_for_the_rest(as_bob, grid, alice):
    grid.start_run(alice)
    running = cell(grid, 0, 0).generation
    Generation.objects.filter(pk=running.pk).update(state=State.RUNNING)
    as_bob.post(grid_url("grid_stop", grid))
    running.refresh_from_db()
    assert running.cancel_requested_at and running.state == State.RUNNING
    assert Generation.objects.filter(state=State.CANCELLED).count() == 3


def test_one_cell_is_stopped_alone(as_bob, grid, alice):
    grid.start_run(alice)
    as_bob.post(grid_url("grid_stop", grid), {"cell": cell(grid, 0, 0).pk})
    assert Generation.objects.filter(state=State.CANCELLED).count() == 1


def test_a_viewer_reads_and_changes_nothing(as_dana, answered):
    for name in ("grid_run", "grid_stop", "grid_change", "grid_archive", "grid_copy", "grid_vote", "grid_collect"):
        assert as_dana.post(grid_url(name, answered)).status_code == 403, name
    assert 'data-run="all"' not in as_dana.get(answered.get_absolute_url()).content.decode()


def test_a_part_of_another_grid_is_not_found(as_bob, answered, team, alice, base, prompt):
    other = make_grid(team, alice, base, prompt.versions.get(), ["a"])
    column = other.columns.first().pk
    assert as_bob.post(grid_url("grid_run", answered), {"column": column}).status_code == 404
    assert as_bob.post(grid_url("grid_column", answered, column_id=column), {"act": "remove"}).status_code == 404
    assert as_bob.get(grid_url("grid_cell", other, cell_id=cell(answered, 0, 0).pk)).status_code == 404
    assert other.columns.count() == 2


def test_archive_and_undo(as_bob, answered, team):
    as_bob.post(grid_url("grid_archive", answered))
    assert answered.name not in text_of(as_bob.get(reverse("grids", args=[team.slug])))
    answer = as_bob.post(grid_url("grid_run", answered), **HTMX)
    assert "archived" in answer.headers["HX-Trigger"]
    as_bob.post(grid_url("grid_archive", answered), {"undo": "1"})
    assert Grid.objects.get(pk=answered.pk).archived_at is None
    verbs = Activity.objects.filter(kind="grid").values_list("verb", flat=True)
    assert {"archived", "restored", "ran"} <= set(verbs)


def test_a_copy_has_the_columns_and_inputs_and_no_answers(as_bob, answered):
    as_bob.post(grid_url("grid_copy", answered))
    twin = Grid.objects.exclude(pk=answered.pk).get()
    assert [one.params for one in twin.columns.all()] == [one.params for one in answered.columns.all()]
    assert [one.values for one in twin.inputs.all()] == [{"word": "house"}, {"word": "horse"}]
    assert twin.run == 0 and not twin.cells().exists() and answered.columns.count() == 2
