"""A grid's columns: copied, moved, kept at a version, refused, and the picker of prompts."""

from __future__ import annotations

from django.urls import reverse

from tests.workspace.conftest import grid_url, text_of
from workspace.models import Grid

HTMX = {"HTTP_HX_REQUEST": "true"}


def test_columns_are_copied_moved_and_removed(as_bob, answered):
    first = answered.columns.first()
    url = grid_url("grid_column", answered, column_id=first.pk)
    as_bob.post(url, {"act": "copy"})
    as_bob.post(url, {"act": "right"})
    temperatures = [one.params["temperature"] for one in answered.columns.all()]
    assert temperatures == [0.0, 0.0, 1.0] and answered.columns.all()[1] == first
    as_bob.post(url, {"act": "remove"})
    assert [one.position for one in answered.columns.all()] == [0, 1]


def test_at_most_twelve_columns(as_bob, grid):
    url = grid_url("grid_column", grid, column_id=grid.columns.first().pk)
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
    as_bob.post(grid_url("grid_column", grid, column_id=column.pk), {"act": "newest"})
    assert grid.columns.first().prompt_version.number == 2


def test_a_column_keeps_what_was_typed_when_it_is_refused(as_bob, grid, base):
    data = {
        "column-source": "messages", "role": ["system", "user"], "content": ["Be kind.", "{{word}}"],
        "column-answers": f"model:{base.pk}", "column-temperature": "9", "column-label": "Mine",
    }  # fmt: skip
    answer = as_bob.post(grid_url("grid_column_new", grid), data, **HTMX)
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
    assert as_charlie.post(grid_url("grid_column_new", made), data).status_code == 422
    data |= {"column-prompt_version": "", "column-source": "messages", "role": "user", "content": "x"}
    assert (
        as_charlie.post(grid_url("grid_column_new", made), data | {"column-answers": "model:999999"}).status_code == 422
    )
    url = reverse("grid_prompts", args=[other_team.slug])
    assert as_charlie.get(url, {"version": prompt.versions.get().pk}).status_code == 404
    assert prompt.name not in as_charlie.get(url).content.decode()


def test_the_picker_finds_prompts_and_offers_their_latest_version(as_bob, team, prompt, alice):
    newest = prompt.save_version(alice, based_on=None, messages=[{"role": "user", "content": "Say {{word}}."}])
    page = as_bob.get(reverse("grid_prompts", args=[team.slug]), {"q": "transl"}).content.decode()
    assert f"version={newest.pk}" in page
    chosen = as_bob.get(reverse("grid_prompts", args=[team.slug]), {"version": newest.pk}).content.decode()
    assert str(prompt.versions.get(number=1).pk) in chosen, "older versions can be chosen too"
