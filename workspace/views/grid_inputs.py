"""A grid's inputs: typed into the form of its variables, pasted as a table, or taken from a data set."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django_htmx.http import trigger_client_event

from llmstudio.http import StudioRequest
from workspace.forms.grids import RowsForm, TableForm
from workspace.forms.values import ValuesForm
from workspace.grid_tables import BadTable, read_table
from workspace.models import Grid, GridInput, GridRefused
from workspace.models.grids import MAX_INPUTS
from workspace.views.playground import done, owned, refusing

MAX_EXPECTED = 100_000


@refusing
def grid_inputs(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    """The dialog with the three ways in; POST adds one typed input, or takes all out."""
    grid = owned(request.team, grid_id)
    if request.method == "GET":
        return shown(request, grid)
    if request.POST.get("act") == "clear":
        grid.remove_inputs(grid.inputs.all())
        return done(request, grid)
    form = ValuesForm(grid.variables(), request.POST)
    expected = request.POST.get("expected", "")[:MAX_EXPECTED]
    if not form.is_valid():
        return shown(request, grid, typed=form, expected=expected, status=422)
    try:
        grid.add_inputs([given(form)], expected=[expected])
    except GridRefused as refusal:
        return shown(request, grid, typed=form, expected=expected, problems=[str(refusal)], status=422)
    return done(request, grid)


@refusing
def grid_table(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    """A pasted table or a file: all its lines, or none and a list of what is wrong."""
    grid = owned(request.team, grid_id)
    form = TableForm(request.POST, request.FILES)
    if not form.is_valid():
        return shown(request, grid, "table", table=form, status=422)
    known = [variable.name for variable in grid.variables()]
    try:
        table = read_table(
            form.cleaned_data["table"], known, most=MAX_INPUTS, keep_unused=form.cleaned_data["keep_unused"]
        )
        count = grid.add_inputs(table.rows, expected=[text[:MAX_EXPECTED] for text in table.expected])
    except BadTable as bad:
        return shown(request, grid, "table", table=form, problems=bad.problems, status=422)
    except GridRefused as refusal:
        return shown(request, grid, "table", table=form, problems=[str(refusal)], status=422)
    left = f" Left out, because no prompt here uses them: {', '.join(table.unused)}." if table.unused else ""
    return added(request, grid, f"{count:,} input{'' if count == 1 else 's'} added.{left}")


@refusing
def grid_rows_of_dataset(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    grid = owned(request.team, grid_id)
    form = RowsForm(request.team, grid.variables(), request.POST)
    if not form.is_valid():
        return shown(request, grid, "rows", rows=form, status=422)
    found, name = form.chosen(), form.cleaned_data["variable"]
    if not found:
        return shown(request, grid, "rows", rows=form, problems=["This data set has no such rows."], status=422)
    try:
        grid.add_inputs([{name: row.prompt} for row in found], expected=[row.answer for row in found], rows=found)
    except GridRefused as refusal:
        return shown(request, grid, "rows", rows=form, problems=[str(refusal)], status=422)
    earlier = sum(bool(row.earlier) for row in found)
    note = f" {earlier:,} of them had messages before the last question, which are left out." if earlier else ""
    return added(request, grid, f"{len(found):,} input{'' if len(found) == 1 else 's'} added.{note}")


@refusing
def grid_input(request: StudioRequest, grid_id: UUID, input_id: UUID) -> HttpResponse:
    """Change one input, or take it out. Answers from before a change stay, marked as older."""
    grid = owned(request.team, grid_id)
    found = get_object_or_404(grid.inputs.select_related("row__dataset"), pk=input_id)
    if request.method == "GET":
        return edit_shown(request, grid, found, ValuesForm(grid.variables(), bound(found.values)), found.expected)
    act = request.POST.get("act")
    if act == "remove":
        grid.remove_inputs(grid.inputs.filter(pk=found.pk))
        return done(request, grid)
    if act == "tidy":  # values that no column knows
        known = {variable.name for variable in grid.variables()}
        found.rewrite({name: value for name, value in found.values.items() if name in known}, found.expected)
        return done(request, grid)
    form = ValuesForm(grid.variables(), request.POST)
    expected = request.POST.get("expected", "")[:MAX_EXPECTED]
    if not form.is_valid():
        return edit_shown(request, grid, found, form, expected, status=422)
    known = {variable.name for variable in form.variables}
    others = {name: value for name, value in found.values.items() if name not in known}
    found.rewrite({**given(form), **others}, expected)
    return done(request, grid)


def given(form: ValuesForm) -> dict[str, str]:
    """What was filled in, in the form's own words: each column reads it by its own types."""
    return {name: value for name, value in form.cleaned_data.items() if value not in ("", None)}


def bound(values: dict[str, Any]) -> dict[str, str]:
    return {f"v-{name}": str(value) for name, value in values.items()}


def added(request: StudioRequest, grid: Grid, message: str) -> HttpResponse:
    response = done(request, grid)
    return trigger_client_event(response, "grid-said", {"message": message}) if request.htmx else response


def shown(request: StudioRequest, grid: Grid, way: str = "", *, status: int = 200, **context: Any) -> HttpResponse:
    declared = grid.variables()
    dataset = request.GET.get("dataset", "")
    context = {
        "typed": ValuesForm(declared),
        "table": TableForm(),
        "rows": RowsForm(request.team, declared, dataset=dataset),
        "expected": "",
        **context,
    }
    way = way or ("rows" if dataset else "typed")
    names = [variable.name for variable in declared]
    context |= {"grid": grid, "way": way, "names": names, "total": grid.inputs.count(), "most": MAX_INPUTS}
    return render(request, "workspace/_grid_inputs_form.html", context, status=status)


def edit_shown(
    request: StudioRequest, grid: Grid, found: GridInput, form: ValuesForm, expected: str, status: int = 200
) -> HttpResponse:
    known = {variable.name for variable in form.variables}
    unused = [name for name in found.values if name not in known]
    context = {"grid": grid, "input": found, "typed": form, "expected": expected, "unused": unused}
    return render(request, "workspace/_grid_input_form.html", context, status=status)
