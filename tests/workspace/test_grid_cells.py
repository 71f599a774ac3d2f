"""One answer and what becomes of it: its panel, its score, and the data set that it is sent to."""

from __future__ import annotations

import re

from django.urls import reverse

from jobs.models import Dataset
from tests.workspace.conftest import cell, grid_url, make_grid, text_of
from workspace.models import Feedback

HTMX = {"HTTP_HX_REQUEST": "true"}


def test_the_panel_shows_what_was_asked_and_marks_differing_words(as_dana, answered):
    url = grid_url("grid_cell", answered, cell_id=cell(answered, 0, 0).pk)
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
    as_bob.post(grid_url("grid_change", answered), {"metric": "exact"})
    page = as_bob.get(answered.get_absolute_url()).content.decode()
    assert re.search(r"<b>0.50</b> score", page) and re.search(r"<b>0.00</b> score", page)
    as_bob.post(grid_url("grid_change", answered), {"metric": ""})
    assert cell(answered, 0, 0).score is None


def test_a_measure_that_is_none_is_refused(as_bob, answered):
    assert as_bob.post(grid_url("grid_change", answered), {"metric": "vibes"}).status_code == 400


def collect(client, grid, **fields):
    data = {f"collect-{name}": value for name, value in ({"which": "good", "name": "Good answers"} | fields).items()}
    if "cell" in fields:
        data["cell"] = fields["cell"]
    return client.post(grid_url("grid_collect", grid), data, **HTMX)


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
