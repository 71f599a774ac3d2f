"""The playground's pages: who may do what, what is shown, what is refused, and what stays hidden in blind mode."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.models import Dataset, Generation, State
from tests.workspace.conftest import cell, make_grid
from workspace.models import Activity, Feedback, Grid, GridInput, GridVote, Role

HTMX = {"HTTP_HX_REQUEST": "true"}


def door(name, grid, **ids):
    return reverse(name, kwargs={"team": grid.team.slug, "grid_id": grid.pk, **ids})


def say(found, text, **fields):
    """End a cell's answer as a worker would."""
    Generation.objects.filter(pk=found.generation_id).update(state=State.RUNNING)
    Generation.objects.filter(pk=found.generation_id).update(
        state=State.SUCCEEDED, text=text, sequence_number=1, **{"finish_reason": "stop", **fields}
    )
    return found


@pytest.fixture
def answered(grid, alice):
    """Every cell has its answer: “cold house”, “warm house”, ..."""
    grid.start_run(alice)
    for column, name in enumerate(("cold", "warm")):
        for row, word in enumerate(("house", "horse")):
            say(cell(grid, column, row), f"{name} {word}", completion_tokens=2, first_token_ms=100, total_ms=300)
    return grid


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


# --- the list


def test_an_empty_list_offers_an_example_that_can_be_run_at_once(as_alice, team, base):
    page = as_alice.get(reverse("grids", args=[team.slug]))
    assert "Open an example grid" in page.content.decode()
    as_alice.post(reverse("grid_new", args=[team.slug]), {"example": "1"})
    made = Grid.objects.get()
    as_alice.post(door("grid_run", made))
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
    form = as_bob.get(door("grid_inputs", made), {"dataset": dataset.pk}, **HTMX).content.decode()
    assert f'<option value="{dataset.pk}" selected>' in form
    as_bob.post(door("grid_rows_of_dataset", made), {"rows-dataset": dataset.pk, "rows-variable": "question"})
    as_bob.post(door("grid_run", made))
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
    rows = as_dana.get(door("grid_rows", made), {"from": "50"}).content.decode()
    assert "w59." in rows and "data-from" not in rows


def test_while_its_json_is_repaired_a_cell_is_not_finished(as_dana, answered, team, alice, base):
    first = cell(answered, 0, 0).generation
    repair = Generation.ask(
        team=team, author=alice, purpose="cell", model=base, adapter=None, messages=first.messages, params={}
    )
    Generation.objects.filter(pk=first.pk).update(schema_problem="It is not JSON.")
    Generation.objects.filter(pk=repair.pk).update(repairs=first)
    assert "3 of 4 cells" in text_of(as_dana.get(door("grid_progress", answered)))
    row = as_dana.get(door("grid_rows", answered), {"input": answered.inputs.first().pk}).content.decode()
    assert f'data-generation="{repair.pk}"' in row and "Queued" in row
    answered.cancel()
    repair.refresh_from_db()
    assert repair.state == State.CANCELLED


def test_a_queued_cell_says_its_place(as_dana, grid, alice):
    grid.start_run(alice)
    assert "place 1" in text_of(as_dana.get(grid.get_absolute_url()))


def test_earlier_runs_stay_and_one_cell_run_again_stands_among_the_others(as_bob, answered):
    column, row = answered.columns.first(), answered.inputs.first()
    as_bob.post(door("grid_run", answered), {"column": column.pk, "input": row.pk})
    answered.refresh_from_db()
    say(cell(answered, 0, 0, run=2), "cold house again")
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
    assert as_bob.post(door("grid_column", answered, column_id=column.pk), data, **HTMX).status_code == 204
    assert "Older" in text_of(as_bob.get(answered.get_absolute_url()))
    as_bob.post(door("grid_run", answered), {"which": "missing"})
    answered.refresh_from_db()
    asked = Generation.objects.filter(state="queued")
    assert {one.messages[0]["content"] for one in asked} == {"Say house.", "Say horse."}


def test_a_new_name_alone_makes_no_answer_older(as_bob, answered, base):
    column = answered.columns.first()
    data = {
        "column-source": "prompt", "column-prompt_version": column.prompt_version_id, "column-label": "Cold",
        "column-answers": f"model:{base.pk}", "column-temperature": "0",
    }  # fmt: skip
    as_bob.post(door("grid_column", answered, column_id=column.pk), data)
    page = text_of(as_bob.get(answered.get_absolute_url()))
    assert "Cold" in page and "Older" not in page


def test_nothing_missing_is_said(as_bob, answered):
    answer = as_bob.post(door("grid_run", answered), {"which": "missing"}, **HTMX)
    assert "Every cell has its answer" in answer.headers["HX-Trigger"]


def test_stop_all_ends_what_waits_and_asks_the_worker_for_the_rest(as_bob, grid, alice):
    grid.start_run(alice)
    running = cell(grid, 0, 0).generation
    Generation.objects.filter(pk=running.pk).update(state=State.RUNNING)
    as_bob.post(door("grid_stop", grid))
    running.refresh_from_db()
    assert running.cancel_requested_at and running.state == State.RUNNING
    assert Generation.objects.filter(state=State.CANCELLED).count() == 3


def test_one_cell_is_stopped_alone(as_bob, grid, alice):
    grid.start_run(alice)
    as_bob.post(door("grid_stop", grid), {"cell": cell(grid, 0, 0).pk})
    assert Generation.objects.filter(state=State.CANCELLED).count() == 1


def test_a_viewer_reads_and_changes_nothing(as_dana, answered):
    for name in ("grid_run", "grid_stop", "grid_change", "grid_archive", "grid_copy", "grid_vote", "grid_collect"):
        assert as_dana.post(door(name, answered)).status_code == 403, name
    assert 'data-run="all"' not in as_dana.get(answered.get_absolute_url()).content.decode()


def test_a_part_of_another_grid_is_not_found(as_bob, answered, team, alice, base, prompt):
    other = make_grid(team, alice, base, prompt.versions.get(), ["a"])
    column = other.columns.first().pk
    assert as_bob.post(door("grid_run", answered), {"column": column}).status_code == 404
    assert as_bob.post(door("grid_column", answered, column_id=column), {"act": "remove"}).status_code == 404
    assert as_bob.get(door("grid_cell", other, cell_id=cell(answered, 0, 0).pk)).status_code == 404
    assert other.columns.count() == 2


def test_archive_and_undo(as_bob, answered, team):
    as_bob.post(door("grid_archive", answered))
    assert answered.name not in text_of(as_bob.get(reverse("grids", args=[team.slug])))
    answer = as_bob.post(door("grid_run", answered), **HTMX)
    assert "archived" in answer.headers["HX-Trigger"]
    as_bob.post(door("grid_archive", answered), {"undo": "1"})
    assert Grid.objects.get(pk=answered.pk).archived_at is None
    verbs = Activity.objects.filter(kind="grid").values_list("verb", flat=True)
    assert {"archived", "restored", "ran"} <= set(verbs)


def test_a_copy_has_the_columns_and_inputs_and_no_answers(as_bob, answered):
    as_bob.post(door("grid_copy", answered))
    twin = Grid.objects.exclude(pk=answered.pk).get()
    assert [one.params for one in twin.columns.all()] == [one.params for one in answered.columns.all()]
    assert [one.values for one in twin.inputs.all()] == [{"word": "house"}, {"word": "horse"}]
    assert twin.run == 0 and not twin.cells().exists() and answered.columns.count() == 2


# --- columns


def test_columns_are_copied_moved_and_removed(as_bob, answered):
    first = answered.columns.first()
    url = door("grid_column", answered, column_id=first.pk)
    as_bob.post(url, {"act": "copy"})
    as_bob.post(url, {"act": "right"})
    temperatures = [one.params["temperature"] for one in answered.columns.all()]
    assert temperatures == [0.0, 0.0, 1.0] and answered.columns.all()[1] == first
    as_bob.post(url, {"act": "remove"})
    assert [one.position for one in answered.columns.all()] == [0, 1]


def test_at_most_twelve_columns(as_bob, grid):
    url = door("grid_column", grid, column_id=grid.columns.first().pk)
    for _ in range(10):
        as_bob.post(url, {"act": "copy"})
    answer = as_bob.post(url, {"act": "copy"}, **HTMX)
    assert "at most 12 columns" in answer.headers["HX-Trigger"] and grid.columns.count() == 12


def test_a_column_stays_at_its_version_until_the_newer_one_is_taken(as_bob, grid, prompt, alice):
    old = prompt.versions.get()
    prompt.save_version(alice, based_on=None, messages=[{"role": "user", "content": "Say {{word}}."}])
    page = text_of(as_bob.get(grid.get_absolute_url()))
    assert "Take v2" in page and "v1" in page
    column = grid.columns.first()
    assert column.prompt_version == old
    as_bob.post(door("grid_column", grid, column_id=column.pk), {"act": "newest"})
    assert grid.columns.first().prompt_version.number == 2


def test_a_column_keeps_what_was_typed_when_it_is_refused(as_bob, grid, base):
    data = {
        "column-source": "messages", "role": ["system", "user"], "content": ["Be kind.", "{{word}}"],
        "column-answers": f"model:{base.pk}", "column-temperature": "9", "column-label": "Mine",
    }  # fmt: skip
    answer = as_bob.post(door("grid_column_new", grid), data, **HTMX)
    page = answer.content.decode()
    assert answer.status_code == 422 and "less than or equal to 2" in page
    assert "Be kind." in page and 'value="Mine"' in page and 'value="9"' in page
    assert grid.columns.count() == 2


def test_a_column_cannot_take_another_teams_prompt_or_model(as_charlie, other_team, charlie, base, prompt):
    made = Grid.objects.create(team=other_team, author=charlie, name="Mine")
    data = {
        "column-source": "prompt",
        "column-answers": f"model:{base.pk}",
        "column-prompt_version": prompt.versions.get().pk,
    }
    assert as_charlie.post(door("grid_column_new", made), data).status_code == 422
    data |= {"column-prompt_version": "", "column-source": "messages", "role": "user", "content": "x"}
    assert as_charlie.post(door("grid_column_new", made), data | {"column-answers": "model:999999"}).status_code == 422
    url = reverse("grid_prompts", args=[other_team.slug])
    assert as_charlie.get(url, {"version": prompt.versions.get().pk}).status_code == 404
    assert prompt.name not in as_charlie.get(url).content.decode()


def test_the_picker_finds_prompts_and_offers_their_latest_version(as_bob, team, prompt, alice):
    newest = prompt.save_version(alice, based_on=None, messages=[{"role": "user", "content": "Say {{word}}."}])
    page = as_bob.get(reverse("grid_prompts", args=[team.slug]), {"q": "transl"}).content.decode()
    assert f"version={newest.pk}" in page
    chosen = as_bob.get(reverse("grid_prompts", args=[team.slug]), {"version": newest.pk}).content.decode()
    assert str(prompt.versions.get(number=1).pk) in chosen, "older versions can be chosen too"


# --- inputs


def test_an_input_is_typed_into_the_form_of_the_variables(as_bob, grid):
    form = as_bob.get(door("grid_inputs", grid), **HTMX).content.decode()
    assert 'name="v-word"' in form
    as_bob.post(door("grid_inputs", grid), {"v-word": "tree", "expected": "arbre"})
    added = grid.inputs.last()
    assert added.values == {"word": "tree"} and added.expected == "arbre" and added.position == 2


def test_what_is_missing_is_said_and_what_was_typed_stays(as_bob, grid):
    answer = as_bob.post(door("grid_inputs", grid), {"v-word": "", "expected": "arbre"}, **HTMX)
    assert answer.status_code == 422 and "No value was given for word." in answer.content.decode()
    assert ">arbre</textarea>" in answer.content.decode() and grid.inputs.count() == 2


def test_a_table_adds_all_its_lines_or_none(as_bob, grid):
    url = door("grid_table", grid)
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
    answer = as_bob.post(door("grid_table", grid), {"table-table": lines}, **HTMX)
    assert answer.status_code == 422 and "at most 500 inputs: this one has 2 and 499" in answer.content.decode()
    assert grid.inputs.count() == 2


@pytest.fixture
def dataset(team, alice):
    found = Dataset.objects.create(team=team, author=alice, name="Words", sha256="0" * 64, counts={"train": 30})
    for n in range(30):
        turns = [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}]
        found.rows.create(position=n, split="train", messages=turns)
    return found


def test_rows_of_a_data_set_become_inputs_with_their_answers_expected(as_bob, grid, dataset):
    data = {"rows-dataset": dataset.pk, "rows-variable": "word", "rows-count": "3"}
    as_bob.post(door("grid_rows_of_dataset", grid), data)
    added = list(grid.inputs.all())[2:]
    assert [(one.values["word"], one.expected) for one in added] == [("q0", "a0"), ("q1", "a1"), ("q2", "a2")]
    assert added[0].row == dataset.rows.first()


def test_drawn_with_a_seed_the_same_rows_come_again(as_bob, team, alice, base, prompt, dataset):
    drawn = []
    for _ in range(2):
        made = make_grid(team, alice, base, prompt.versions.get(), [])
        data = {"rows-dataset": dataset.pk, "rows-variable": "word", "rows-count": "5", "rows-seed": "7"}
        as_bob.post(door("grid_rows_of_dataset", made), data)
        drawn.append([one.values["word"] for one in made.inputs.all()])
    assert drawn[0] == drawn[1] != [f"q{n}" for n in range(5)]


def test_another_teams_data_set_gives_no_rows(as_charlie, other_team, charlie, dataset):
    made = Grid.objects.create(team=other_team, author=charlie, name="Mine")
    data = {"rows-dataset": dataset.pk, "rows-variable": "question", "rows-count": "3"}
    assert as_charlie.post(door("grid_rows_of_dataset", made), data).status_code == 422
    assert not made.inputs.exists()


def test_an_input_is_changed_and_taken_out(as_bob, answered):
    row = answered.inputs.first()
    url = door("grid_input", answered, input_id=row.pk)
    as_bob.post(url, {"v-word": "tree", "expected": ""})
    assert "Older" in text_of(as_bob.get(answered.get_absolute_url()))
    assert GridInput.objects.get(pk=row.pk).values == {"word": "tree"}
    as_bob.post(url, {"act": "remove"})
    assert answered.inputs.count() == 1 and answered.cells().count() == 2


def test_values_that_nothing_uses_are_named_and_can_be_left_out(as_bob, grid):
    row = grid.inputs.first()
    GridInput.objects.filter(pk=row.pk).update(values={"word": "house", "id": "7"})
    assert "No column uses id." in text_of(as_bob.get(grid.get_absolute_url()))
    as_bob.post(door("grid_input", grid, input_id=row.pk), {"act": "tidy"})
    assert GridInput.objects.get(pk=row.pk).values == {"word": "house"}


# --- the panel, scores, data sets


def test_the_panel_shows_what_was_asked_and_marks_differing_words(as_dana, answered):
    url = door("grid_cell", answered, cell_id=cell(answered, 0, 0).pk)
    panel = text_of(as_dana.get(url))
    assert "Translate house." in panel and "cold house" in panel and "temperature 0.0" in panel
    other = answered.columns.last()
    compared = as_dana.get(url, {"against": other.pk}).content.decode()
    assert "<ins>cold</ins>" in compared and "<del>warm</del>" in compared


def test_a_cells_address_leads_to_its_grid(as_dana, answered):
    found = cell(answered, 0, 0)
    answer = as_dana.get(reverse("cell", kwargs={"team": answered.team.slug, "cell_id": found.pk}))
    assert answer.url == f"{answered.get_absolute_url()}?run=1&cell={found.pk}"


def test_answers_are_scored_against_the_expected_and_the_column_has_the_mean(as_bob, answered):
    answered.inputs.filter(position=0).update(expected="cold house")
    answered.inputs.filter(position=1).update(expected="something else")
    as_bob.post(door("grid_change", answered), {"metric": "exact"})
    page = as_bob.get(answered.get_absolute_url()).content.decode()
    assert re.search(r"<b>0.50</b> score", page) and re.search(r"<b>0.00</b> score", page)
    as_bob.post(door("grid_change", answered), {"metric": ""})
    assert cell(answered, 0, 0).score is None


def test_a_measure_that_is_none_is_refused(as_bob, answered):
    assert as_bob.post(door("grid_change", answered), {"metric": "vibes"}).status_code == 400


def collect(client, grid, **fields):
    data = {f"collect-{name}": value for name, value in ({"which": "good", "name": "Good answers"} | fields).items()}
    if "cell" in fields:
        data["cell"] = fields["cell"]
    return client.post(door("grid_collect", grid), data, **HTMX)


def test_good_answers_become_a_data_set_with_corrections_and_their_source(as_bob, answered, alice, bob):
    liked, mended = cell(answered, 0, 0), cell(answered, 1, 1)
    Feedback.objects.create(generation=liked.generation, user=alice, thumb=1)
    Feedback.objects.create(generation=mended.generation, user=bob, thumb=-1, correction="cheval")
    answer = collect(as_bob, answered)
    made = Dataset.objects.get()
    assert answer.headers["HX-Redirect"] == made.get_absolute_url()
    assert [(row.messages, row.cell_id) for row in made.rows.all()] == [
        (
            [{"role": "user", "content": "Translate house."}, {"role": "assistant", "content": "cold house"}],
            str(liked.pk),
        ),
        ([{"role": "user", "content": "Translate horse."}, {"role": "assistant", "content": "cheval"}], str(mended.pk)),
    ]
    row = as_bob.get(reverse("dataset_row", args=[answered.team.slug, made.pk, 0])).content.decode()
    assert reverse("cell", args=[answered.team.slug, liked.pk]) in row


def test_marked_answers_are_added_to_the_rows_of_another_set(as_bob, answered, dataset):
    collect(as_bob, answered, which="chosen", cell=[str(cell(answered, 0, 0).pk)], base=dataset.pk)
    made = Dataset.objects.exclude(pk=dataset.pk).get()
    assert made.total == 31 and dataset.rows.count() == 30


def test_nothing_good_yet_is_said_and_makes_nothing(as_bob, answered):
    answer = collect(as_bob, answered)
    assert answer.status_code == 422 and "Rate some as good" in answer.content.decode()
    assert not Dataset.objects.exists()


def test_another_grids_cells_are_not_collected(as_bob, answered, team, alice, base, prompt):
    other = make_grid(team, alice, base, prompt.versions.get(), ["a"])
    answer = collect(as_bob, other, which="chosen", cell=[str(cell(answered, 0, 0).pk)])
    assert answer.status_code == 422 and not Dataset.objects.exists()


# --- blind


@pytest.fixture
def blind(answered):
    for position, name in enumerate(("Sesame", "Poppy")):
        answered.columns.filter(position=position).update(label=name)
    answered.change(blind=True)
    return answered


def rows_of(client, grid, row=0):
    return client.get(door("grid_rows", grid), {"input": str(grid.inputs.get(position=row).pk)}).content.decode()


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
            say(cell(answered, column, row), f"{name} {row}")
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
    say(cell(blind, 0, 0, run=2), "early bird")
    row = rows_of(as_bob, blind)
    assert "early bird" not in row and "1 of 2 answers are there" in row
    say(cell(blind, 1, 0, run=2), "second mouse")
    assert "early bird" in rows_of(as_bob, blind)


def test_a_vote_reveals_the_row_to_the_voter_alone(as_bob, as_alice, blind, bob):
    row = rows_of(as_bob, blind)
    place = 1 if row.index("cold house") < row.index("warm house") else 2
    one = blind.inputs.get(position=0)
    shown = as_bob.post(door("grid_vote", blind), {"input": one.pk, "run": 1, "choice": place}, **HTMX).content.decode()
    vote = GridVote.objects.get()
    assert vote.column == blind.columns.get(position=0) and vote.user == bob
    assert "Sesame" in shown and "Your choice" in shown
    assert "Sesame" not in rows_of(as_alice, blind)
    assert "Sesame" not in rows_of(as_bob, blind, row=1), "the other row is still blind"


def test_a_tie_is_a_vote_too(as_bob, blind):
    as_bob.post(door("grid_vote", blind), {"input": blind.inputs.first().pk, "choice": "0"})
    assert GridVote.objects.get().column is None
    assert "1 vote, 1 tie" in text_of(as_bob.get(blind.get_absolute_url()))


def test_before_the_vote_no_other_door_tells(as_bob, as_alice, blind, alice):
    found = cell(blind, 0, 0)
    Feedback.objects.create(generation=found.generation, user=alice, thumb=1)
    assert as_bob.get(door("grid_cell", blind, cell_id=found.pk)).status_code == 404
    assert collect(as_bob, blind).status_code == 422, "blind answers are not collected by column order"
    assert as_bob.get(door("grid_progress", blind)).content.decode().count("vote") == 0
    as_bob.post(door("grid_vote", blind), {"input": blind.inputs.first().pk, "choice": "1"})
    assert as_bob.get(door("grid_cell", blind, cell_id=found.pk)).status_code == 200


def test_the_tally_counts_rows_that_the_reader_has_voted_on(as_bob, as_alice, blind):
    for client in (as_bob, as_alice):
        client.post(door("grid_vote", blind), {"input": blind.inputs.first().pk, "choice": "1"})
    as_alice.post(door("grid_vote", blind), {"input": blind.inputs.last().pk, "choice": "2"})
    assert "2 votes" in text_of(as_bob.get(door("grid_progress", blind)))
    assert "3 votes" in text_of(as_alice.get(door("grid_progress", blind)))


def test_a_vote_on_answers_that_have_changed_is_refused(as_bob, blind, alice):
    blind.start_run(alice)
    answer = as_bob.post(door("grid_vote", blind), {"input": blind.inputs.first().pk, "run": 1, "choice": "1"}, **HTMX)
    assert answer.status_code == 409 and not GridVote.objects.exists()


def test_run_again_a_row_is_blind_again(as_bob, blind, alice):
    as_bob.post(door("grid_vote", blind), {"input": blind.inputs.first().pk, "choice": "1"})
    blind.start_run(alice)
    for position in (0, 1):
        say(cell(blind, position, 0, run=2), "new")
    assert "Sesame" not in rows_of(as_bob, blind)


def test_an_annotator_may_vote_and_a_viewer_may_not(as_dana, blind, team, dana):
    data = {"input": blind.inputs.first().pk, "choice": "1"}
    assert as_dana.post(door("grid_vote", blind), data).status_code == 403
    team.memberships.filter(user=dana).update(role=Role.ANNOTATOR)
    as_dana.post(door("grid_vote", blind), data)
    assert GridVote.objects.filter(user=dana).exists()
