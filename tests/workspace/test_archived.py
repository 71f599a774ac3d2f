"""What is archived stays as it was: every door that would change it says in one sentence to restore it first."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import models
from django.http import HttpResponse
from django.test import Client

from jobs.models import Generation
from tests.workspace.conftest import cell
from workspace.models import Archived, Comment, ExampleSet, Grid, GridVote, Prompt, PromptLabel, PromptReview, User

HTMX = {"HTTP_HX_REQUEST": "true"}


def put_away(thing: Any, by: User) -> dict[str, Any]:
    """Archive it, and remember what it is then."""
    thing.archive(by)
    return as_it_is(thing)


def as_it_is(thing: Any) -> dict[str, Any]:
    """Everything that is stored about it and in it."""
    parts = {
        Prompt: ("versions", "labels", "aliases"), ExampleSet: ("versions", "examples"), Grid: ("columns", "inputs"),
    }[type(thing)]  # fmt: skip
    rows: dict[str, Any] = {name: list(getattr(thing, name).order_by("pk").values()) for name in parts}
    if isinstance(thing, Prompt):
        rows["reviews"] = list(PromptReview.objects.filter(version__prompt=thing).values())
    return {**rows, "itself": type(thing).objects.filter(pk=thing.pk).values().get()}


def said(response: HttpResponse) -> str:
    """What the person reads: the page, the page that it leads to, or what the open page is told."""
    if response.status_code == 302:
        response = response.client.get(response.url)  # type: ignore[attr-defined]
    text = response.headers.get("HX-Trigger", "") or response.content.decode()
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@pytest.fixture
def reviewed(prompt: Prompt, team: Any, bob: User) -> PromptReview:
    """A review of version 1 that bob has asked for."""
    return PromptReview.ask(prompt.newest, by=team.memberships.get(user=bob))


@pytest.mark.parametrize(
    ("door", "sent"),
    [
        ("", {"role": "user", "content": "New {{word}}", "based_on": "1", "kind": "chat"}),
        ("details/", {"name": "words/other", "description": "typed", "tags": "new"}),
        ("labels/", {"name": "staging", "number": "1"}),
        ("v/1/restore/", {}),
        ("v/1/review/", {"publish": "1"}),
        ("v/1/review/", {"question": "Good?"}),
        ("reviews/{review}/", {"withdraw": "1"}),
        ("reviews/{review}/", {"reject": "1", "note": "Shorter."}),
    ],
)
def test_a_prompt(as_bob: Client, prompt: Prompt, reviewed: PromptReview, bob: User, door: str, sent: Any) -> None:
    before = put_away(prompt, bob)
    answer = as_bob.post(f"{prompt.get_absolute_url()}{door.format(review=reviewed.pk)}", sent)
    assert "This prompt is archived. Restore it first." in said(answer)
    assert as_it_is(prompt) == before
    for typed in ("New {{word}}", "words/other"):
        assert typed not in sent.values() or typed in answer.content.decode()


@pytest.mark.parametrize("act", [{"act": "tag", "tag": "new"}, {"act": "move", "to": "elsewhere"}])
def test_prompts_chosen_in_the_library(as_bob: Client, prompt: Prompt, bob: User, act: dict[str, str]) -> None:
    before = put_away(prompt, bob)
    answer = as_bob.post("/t/lighthouse/prompts/act/", {**act, "prompt": str(prompt.pk)})
    assert "This prompt is archived. Restore it first." in said(answer)
    assert as_it_is(prompt) == before


@pytest.mark.parametrize(
    ("door", "sent"),
    [
        ("change/", {"name": "Other words", "description": "typed"}),
        ("save/", {"seen": "4", "shown": "", "arranged": "1", "key": "new-1", "input-new-1": "cat", "output-new-1": "chat"}),
        ("paste/", {"text": "input,output\ncat,chat"}),
        ("restore/1/", {}),
    ],
)  # fmt: skip
def test_an_example_set(as_bob: Client, example_set: ExampleSet, bob: User, door: str, sent: dict[str, str]) -> None:
    before = put_away(example_set, bob)
    answer = as_bob.post(f"{example_set.get_absolute_url()}{door}", sent)
    assert "This few-shot set is archived. Restore it first." in said(answer)
    assert as_it_is(example_set) == before
    for name in ("name", "input-new-1", "text"):
        assert sent.get(name, "") in answer.content.decode()


@pytest.mark.parametrize(
    ("door", "sent"),
    [
        ("change/", {"name": "Other words", "blind": "1", "metric": "f1"}),
        ("run/", {}),
        ("run/", {"which": "missing"}),
        ("columns/", {"column-source": "messages", "role": "user", "content": "Hi", "column-answers": "model:{model}"}),
        ("columns/{column}/", {"column-source": "messages", "role": "user", "content": "Hi", "column-answers": "model:{model}"}),
        *[("columns/{column}/", {"act": act}) for act in ("copy", "left", "right", "remove", "newest")],
        ("inputs/", {"v-word": "cat"}),
        ("inputs/", {"act": "clear"}),
        ("inputs/table/", {"table-table": "word\ncat"}),
        ("inputs/{input}/", {"v-word": "cat"}),
        ("inputs/{input}/", {"act": "remove"}),
        ("inputs/{input}/", {"act": "tidy"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", [{}, HTMX])
def test_a_grid(as_bob: Client, grid: Grid, bob: User, door: str, sent: dict[str, str], how: dict[str, str]) -> None:
    column, row = grid.columns.all()[0], grid.inputs.all()[0]
    before = put_away(grid, bob)
    address = f"{grid.get_absolute_url()}{door.format(column=column.pk, input=row.pk)}"
    answer = as_bob.post(address, {key: value.format(model=column.model_id) for key, value in sent.items()}, **how)
    assert "This grid is archived. Restore it first." in said(answer)
    assert as_it_is(grid) == before and not Generation.objects.exists()


def test_what_people_think_of_it_is_still_taken(
    as_bob: Client, grid: Grid, example_set: ExampleSet, alice: User, bob: User
) -> None:
    """A vote, stars, a comment; and what is under way can be stopped."""
    grid.start_run(alice)
    example = example_set.newest.ordered()[0]
    grid.archive(alice)
    example_set.archive(alice)
    as_bob.post(f"{example_set.get_absolute_url()}{example.pk}/rate/", {"stars": "4"})
    assert example.ratings.get().stars == 4
    as_bob.post(f"/t/lighthouse/comments/on/example/{example.pk}/", {"text": "Still good."})
    assert Comment.objects.get().text == "Still good."
    as_bob.post(f"{grid.get_absolute_url()}stop/")
    assert set(Generation.objects.values_list("state", flat=True)) == {"cancelled"}
    as_bob.post(f"{grid.get_absolute_url()}vote/", {"input": str(cell(grid, 0, 0).input_id), "choice": "0"})
    assert GridVote.objects.get().user == bob


def test_the_models_themselves_refuse(
    prompt: Prompt, example_set: ExampleSet, grid: Grid, team: Any, alice: User
) -> None:
    """Whatever door comes next; and restored, each takes the change."""
    version = prompt.newest
    acts = {
        prompt: lambda: PromptLabel.move(version, "staging", by=team.memberships.get(user=alice)),
        example_set: lambda: example_set.add(alice, input="cat", output="chat"),
        grid: lambda: grid.add_inputs([{"word": "cat"}]),
    }
    for thing, act in acts.items():
        assert isinstance(thing, models.Model)
        thing.archive(alice)
        with pytest.raises(Archived):
            act()
        thing.archive(alice, undo=True)
        act()


def test_the_pages_offer_restoring_and_no_change(
    as_bob: Client, prompt: Prompt, example_set: ExampleSet, grid: Grid, bob: User
) -> None:
    changes = {
        prompt: ["Rename, move or tag", "Name and tags", "Write</a>"],
        example_set: ["Rename or describe", "Paste many", "Add an example", "Save a version", "data-remove"],
        grid: ["grid-settings-title", "Take out", "Move left", "sheet-add", 'data-run="all"'],
    }
    for thing, words in changes.items():
        live = as_bob.get(thing.get_absolute_url(), follow=True).content.decode()
        thing.archive(bob)
        page = as_bob.get(thing.get_absolute_url(), follow=True).content.decode()
        assert 'name="undo"' in page and "Restore" in page
        for word in words:
            assert word in live and word not in page, word
