"""Keeping an answer as an example, from a chat, a playground cell or a data set's row."""

from __future__ import annotations

from uuid import uuid4

import pytest

from jobs.models import Dataset
from tests.workspace.conftest import answer, pairs_in, set_url
from workspace.models import ExampleSet, Feedback, Grid

KEEP = "/t/lighthouse/examples/keep/"


@pytest.fixture
def reply(chat, alice):
    return answer(chat.send(alice, "What is a house?", parent=None, client_id="c" * 8), "A building.")


def test_a_chat_answer_is_kept_with_its_source(as_bob, reply, example_set, team):
    ask = {"source_kind": "message", "source_id": str(reply.pk)}
    shown = as_bob.get(KEEP, ask).content.decode()
    assert "What is a house?" in shown and "A building." in shown and "Words" in shown
    done = as_bob.post(KEEP, {**ask, "set": str(example_set.pk), "input": "What is a house?", "output": "Home."})
    assert "example 4" in done.content.decode()
    kept = example_set.newest.ordered() if example_set.refresh_from_db() is None else []
    assert (kept[3].output, kept[3].source_kind) == ("Home.", "message")
    source = as_bob.get(set_url(example_set, f"{kept[3].pk}/source/"))
    assert source.url.startswith(reply.chat.get_absolute_url()) and str(reply.pk) in source.url


def test_a_correction_goes_before_the_answer(as_bob, bob, reply):
    Feedback.objects.create(generation=reply.generation, user=bob, correction="A home.")
    page = as_bob.get(KEEP, {"source_kind": "message", "source_id": str(reply.pk)}).content.decode()
    assert "A home." in page and "corrected answer" in page


def test_keeping_into_a_new_set_or_none(as_bob, reply, example_set, team):
    ask = {"source_kind": "message", "source_id": str(reply.pk), "input": "typed", "output": "o"}
    none = as_bob.post(KEEP, ask)
    assert (
        none.status_code == 422
        and "Choose a set, or name a new one" in none.content.decode()
        and "typed" in none.content.decode()
    )
    assert as_bob.post(KEEP, {**ask, "new_set": "Words"}).status_code == 422  # taken
    empty = as_bob.post(KEEP, {**ask, "new_set": "Chats", "output": " "})
    assert empty.status_code == 422 and not ExampleSet.objects.filter(name="Chats").exists()
    as_bob.post(KEEP, {**ask, "new_set": "Chats"})
    assert pairs_in(ExampleSet.objects.get(name="Chats")) == [("typed", "o")]


def test_a_row_and_a_cell_are_kept(as_bob, team, alice, example_set, base, prompt):
    rows = Dataset.objects.create(team=team, author=alice, name="R", sha256="0" * 64, counts={"train": 1})
    row = rows.rows.create(
        position=0, split="train", messages=[{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]
    )
    as_bob.post(KEEP, {"source_kind": "row", "source_id": row.pk, "set": example_set.pk})
    grid = Grid.objects.create(team=team, author=alice, name="G")
    grid.columns.create(position=0, prompt_version=prompt.versions.get(), model=base)
    grid.inputs.create(position=0, values={"word": "sea"})
    run = grid.start_run(alice)
    cell = grid.columns.get().cells.get(run=run)
    cell.generation.__class__.objects.filter(pk=cell.generation.pk).update(text="mer")
    as_bob.post(KEEP, {"source_kind": "cell", "source_id": cell.pk, "set": example_set.pk})
    example_set.refresh_from_db()
    assert pairs_in(example_set)[3:] == [("q", "r"), ("sea", "mer")]
    assert example_set.newest.ordered()[4].values == {"word": "sea"}
    for example, part in zip(
        example_set.newest.ordered()[3:], (rows.get_absolute_url(), cell.get_absolute_url()), strict=True
    ):
        assert as_bob.get(set_url(example_set, f"{example.pk}/source/")).url.startswith(part)


def test_sources_and_sets_of_another_team_do_not_exist(as_charlie, as_bob, reply, example_set, charlie, other_team):
    ask = {"source_kind": "message", "source_id": str(reply.pk)}
    assert as_charlie.get("/t/harbour/examples/keep/", ask).status_code == 404
    theirs = ExampleSet.start(team=other_team, author=charlie, name="Theirs")
    assert as_bob.post(KEEP, {**ask, "set": theirs.pk, "input": "a", "output": "b"}).status_code == 404
    assert (
        as_bob.get(set_url(example_set, f"fields/?example={theirs.add(charlie, input='a', output='b').pk}")).status_code
        == 404
    )
    for kind, key in (("message", "x"), ("row", "9" * 30), ("cell", str(uuid4())), ("typed", "1")):
        assert as_bob.get(KEEP, {"source_kind": kind, "source_id": key}).status_code == 404


def test_a_viewer_reads_and_changes_nothing(as_dana, example_set, reply):
    page = as_dana.get(set_url(example_set)).content.decode()
    assert "maison" in page and "Save a version" not in page and "data-handle" not in page
    assert as_dana.post(set_url(example_set, "save/"), {"seen": "1"}).status_code == 403
    assert as_dana.get(KEEP, {"source_kind": "message", "source_id": str(reply.pk)}).status_code == 403
