"""Leave one out: which examples help on a test set, how sure that is, and that it says so when it cannot tell."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.models import Dataset, Generation, State
from workspace import leave_one_out
from workspace.leave_one_out import Effect, bootstrap
from workspace.models import ExampleSet, Grid

FRENCH = ["un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit"]


@pytest.fixture
def test_rows(team, alice) -> Dataset:
    found = Dataset.objects.create(
        team=team, author=alice, name="Numbers", sha256="0" * 64, counts={"test": 8, "train": 1}
    )
    said = lambda q, a: [{"role": "user", "content": q}, {"role": "assistant", "content": a}]  # noqa: E731
    for n, word in enumerate(FRENCH):
        found.rows.create(position=n, split="test", messages=said(f"number {n}", word))
    found.rows.create(position=8, split="train", messages=said("not this", "one"))
    return found


@pytest.fixture
def version(prompt, alice, example_set):
    return prompt.save_version(
        alice, based_on=None, messages=[{"role": "user", "content": "Translate {{word}}."}], examples=example_set.newest
    )


def sent(version, base, dataset, **more: Any) -> dict[str, Any]:
    return {
        "prompt_version": version.pk, "answers": f"model:{base.pk}", "rows_of": f"{dataset.pk}:test", "metric": "exact",
        "rows": "", "max_tokens": "8", **more,
    }  # fmt: skip


def begin(client, found: ExampleSet, data: dict[str, Any]) -> Grid:
    done = client.post(f"{found.get_absolute_url()}leave-one-out/", data)
    assert done.status_code == 302, done.context["form"].errors
    return Grid.objects.get(pk=done.url.rstrip("/").rpartition("/")[2])


def answer(grid: Grid, said: Any, state: State = State.SUCCEEDED) -> None:
    """End every reply as a worker would, with `said(what was left out, number of the row)`."""
    for column in grid.columns.all():
        for cell in column.cells.select_related("input", "generation").order_by("input__position"):
            text = said(column.omit and column.omit.input, cell.input.position)
            if text is None:
                continue
            [held] = Generation.objects.filter(pk=cell.generation_id).claim("test")
            held.finish(state, text=text, text_sha256=str(hash(text)))


def page(client, grid: Grid, rest: str = "") -> Any:
    return client.get(f"/t/lighthouse/leave-one-out/{grid.pk}/{rest}")


def test_it_asks_with_all_examples_and_without_each(as_bob, version, base, test_rows, example_set):
    grid = begin(as_bob, example_set, sent(version, base, test_rows))
    columns = list(grid.columns.select_related("omit"))
    assert [column.omit and column.omit.input for column in columns] == [None, "house", "horse", "tree"]
    assert all(column.params == {"temperature": 0, "max_tokens": 8} for column in columns)
    assert [line.expected for line in grid.inputs.all()] == FRENCH
    asked = columns[2].cells.order_by("input__position").first().generation
    assert [turn["content"] for turn in asked.messages] == [
        "Translate house.", "maison", "Translate tree.", "arbre", "Translate number 0.",
    ]  # fmt: skip
    assert asked.params["temperature"] == 0 and asked.purpose == "cell"
    assert grid.about["leave_one_out"] == str(version.examples_id)


def test_the_result_says_what_helps_what_hurts_and_what_cannot_be_told(
    as_bob, as_dana, version, base, test_rows, example_set
):
    grid = begin(as_bob, example_set, sent(version, base, test_rows))
    assert "0 of 32 answers" in page(as_dana, grid).content.decode()

    def said(left_out: str | None, row: int) -> str:
        good = {None: row % 2 == 0, "house": False, "horse": True, "tree": row % 2 == 0 and row != 0}[left_out]
        return FRENCH[row] if good else "?"

    answer(grid, said)
    shown = page(as_dana, grid)
    effects = {effect.example.input: effect for _, effect in shown.context["effects"]}
    assert {name: (effect.verdict, effect.helps) for name, effect in effects.items()} == {
        "house": ("helps", 0.5), "horse": ("hurts", -0.5), "tree": ("unclear", 0.125),
    }  # fmt: skip
    low, high = effects["house"].interval
    assert 0 < low <= 0.5 <= high <= 1
    text = shown.content.decode()
    assert (
        "the score is <b>0.500</b>, over 8 rows" in text
        and "Not enough rows to tell" in text
        and "every 2s" not in text
    )
    changed = page(as_dana, grid, f"?example={effects['tree'].example.pk}").content.decode()
    assert "Row 1<" in changed and "<ins>un</ins>" in changed and "Row 2<" not in changed


def test_it_grows_while_answers_come_and_leaves_out_those_that_broke_off(as_bob, version, base, test_rows, example_set):
    grid = begin(as_bob, example_set, sent(version, base, test_rows, rows="8"))
    answer(grid, lambda left_out, row: FRENCH[row] if row < 2 else None)
    early = page(as_bob, grid)
    assert "8 of 32 answers" in early.content.decode() and "every 2s" in early.content.decode()
    assert {effect.verdict for _, effect in early.context["effects"]} == {"waiting"}
    assert [effect.rows for _, effect in early.context["effects"]] == [2, 2, 2]
    answer(grid, lambda left_out, row: "?" if row == 2 else None, State.FAILED)
    answer(grid, lambda left_out, row: FRENCH[row] if row > 2 else None)
    done = page(as_bob, grid)
    assert "4 answers broke off" in done.content.decode()
    assert {(effect.rows, effect.verdict) for _, effect in done.context["effects"]} == {(7, "same")}


def test_only_examples_that_the_prompt_takes_are_left_out(as_bob, prompt, alice, base, test_rows, example_set):
    version = prompt.save_version(
        alice,
        based_on=None,
        messages=[{"role": "user", "content": "{{word}}"}],
        examples=example_set.newest,
        shots={"count": 1},
    )
    grid = begin(as_bob, example_set, sent(version, base, test_rows))
    assert [column.omit and column.omit.input for column in grid.columns.select_related("omit")] == [None, "house"]


def test_a_prompt_with_several_variables_says_which_takes_the_question(
    as_bob, prompt, alice, base, test_rows, example_set
):
    version = prompt.save_version(
        alice,
        based_on=None,
        messages=[{"role": "user", "content": "{{word}} to {{lang}}"}],
        examples=example_set.newest,
    )
    where = f"{example_set.get_absolute_url()}leave-one-out/"
    refused = as_bob.post(where, sent(version, base, test_rows, others="lang = French"))
    assert refused.status_code == 422
    assert "Name one of word, lang" in refused.content.decode() and "lang = French" in refused.content.decode()
    missing = as_bob.post(where, sent(version, base, test_rows, variable="word"))
    assert "No value was given for lang" in missing.content.decode()
    grid = begin(as_bob, example_set, sent(version, base, test_rows, variable="word", others="lang = French"))
    assert grid.inputs.first().values == {"lang": "French", "word": "number 0"}


def test_the_question_goes_by_itself_where_one_variable_stands_out(as_bob, prompt, alice, base, test_rows, example_set):
    """The only one in the last user message, else the only one without a default."""
    asked = {"based_on": None, "examples": example_set.newest}
    last = prompt.save_version(
        alice,
        messages=[{"role": "system", "content": "Speak {{lang}}."}, {"role": "user", "content": "Translate {{word}}."}],
        **asked,
    )
    grid = begin(as_bob, example_set, sent(last, base, test_rows, others="lang = French"))
    assert grid.inputs.first().values == {"lang": "French", "word": "number 0"}
    bare = prompt.save_version(
        alice,
        messages=[{"role": "user", "content": "{{lang}}: {{word}}"}],
        variables=[{"name": "lang", "default": "French"}],
        **asked,
    )
    grid = begin(as_bob, example_set, sent(bare, base, test_rows))
    assert grid.inputs.first().values == {"lang": "French", "word": "number 0"}


def test_what_cannot_be_compared_is_refused_in_words(as_bob, prompt, alice, base, test_rows, example_set):
    where = f"{example_set.get_absolute_url()}leave-one-out/"
    fixed = prompt.save_version(
        alice, based_on=None, messages=[{"role": "user", "content": "Hello"}], examples=example_set.newest
    )
    assert "no variable" in as_bob.post(where, sent(fixed, base, test_rows)).content.decode()
    none = prompt.save_version(
        alice,
        based_on=None,
        messages=[{"role": "user", "content": "{{a}}"}],
        examples=example_set.newest,
        shots={"count": 0},
    )
    assert "takes no example" in as_bob.post(where, sent(none, base, test_rows)).content.decode()
    assert not Grid.objects.exists()


def test_more_cells_than_one_run_takes_are_refused_in_words(as_bob, version, base, test_rows, example_set, monkeypatch):
    monkeypatch.setattr("workspace.models.grids.MAX_CELLS", 3)
    answer = as_bob.post(f"{example_set.get_absolute_url()}leave-one-out/", sent(version, base, test_rows))
    assert answer.status_code == 422
    assert "at most 3 go into one run" in answer.content.decode()
    assert not Grid.objects.exists()


def test_an_ordinary_grid_and_another_teams_are_not_found(
    as_bob, as_charlie, team, alice, version, base, test_rows, example_set
):
    plain = Grid.objects.create(team=team, author=alice, name="Plain")
    assert page(as_bob, plain).status_code == 404
    grid = begin(as_bob, example_set, sent(version, base, test_rows))
    assert as_charlie.get(f"/t/harbour/leave-one-out/{grid.pk}/").status_code == 404


def test_the_result_asks_as_many_queries_for_many_cells_as_for_few(
    as_bob, version, base, test_rows, example_set, django_assert_max_num_queries
):
    grid = begin(as_bob, example_set, sent(version, base, test_rows))
    answer(grid, lambda left_out, row: FRENCH[row])
    with django_assert_max_num_queries(16):
        page(as_bob, grid)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    import random

    draw, inside = random.Random(4), 0
    for _ in range(100):
        low, high = bootstrap(tuple(draw.gauss(0.1, 0.3) for _ in range(40)))
        inside += low <= 0.1 <= high
    assert 88 <= inside <= 99
    assert bootstrap((0.5,) * 9) == (0.5, 0.5)


def test_few_rows_never_make_a_verdict():
    assert Effect(None, "x", differences=[1.0] * (leave_one_out.MIN_ROWS - 1)).verdict == "unclear"
    assert Effect(None, "x", differences=[1.0] * leave_one_out.MIN_ROWS).verdict == "helps"
