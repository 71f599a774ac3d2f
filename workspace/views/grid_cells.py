"""A grid's rows and cells: sent in windows or one by one, opened, voted on, and picked for a data set."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render

from jobs.datasets.collected import Collected, Picked, collect
from jobs.models import State
from llmstudio.asked import key_or_404, number_in
from llmstudio.http import StudioRequest
from workspace import diffs
from workspace.forms.grids import CollectForm
from workspace.models import Example, Feedback, Grid, GridCell, GridVote, Role
from workspace.models.grids import MAX_CELLS
from workspace.sheets import WINDOW, Sheet, SheetRow
from workspace.views.playground import owned, run_asked, to_page

MOST_ROWS = 60  # asked for by id in one request


def grid_rows(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    """Table rows and nothing else: the window `from`, or the rows of the inputs that are named."""
    grid = owned(request.team, grid_id)
    sheet = Sheet(grid, request.user, run_asked(request))
    context: dict[str, Any] = {"grid": grid, "sheet": sheet, "may_vote": request.membership.may(Role.ANNOTATOR)}
    if keys := request.GET.getlist("input")[:MOST_ROWS]:
        inputs = grid.inputs.filter(pk__in=[key_or_404(key) for key in keys])
        return render(request, "workspace/_grid_rows.html", {**context, "rows": sheet.rows(list(inputs))})
    start = number_in(request.GET.get("from")) or 0
    after = start + WINDOW if sheet.total > start + WINDOW else 0
    return render(request, "workspace/_grid_rows.html", {**context, "rows": sheet.window(start), "next": after})


def cell(request: StudioRequest, cell_id: UUID) -> HttpResponse:
    """Where a row or an example that was made from a cell leads back to."""
    cells = GridCell.objects.select_related("column__grid__team")
    found = get_object_or_404(cells, pk=cell_id, column__grid__team=request.team)
    return redirect(f"{found.column.grid.get_absolute_url()}?run={found.run}&cell={found.pk}")


def grid_cell(request: StudioRequest, grid_id: UUID, cell_id: UUID) -> HttpResponse:
    """The side panel: all that is known of one answer, beside another's if asked. Nothing before the vote, if blind."""
    grid = owned(request.team, grid_id)
    cells = grid.cells().select_related(
        "input", "generation__model", "generation__adapter", "generation__prompt_version__prompt", "generation__repair"
    )
    found = get_object_or_404(cells, pk=cell_id)
    sheet = Sheet(grid, request.user, max(found.run, run_asked(request) or 0))
    row = sheet.row(found.input)
    slot = next((one for one in row.slots if one.cell and one.cell.pk == found.pk), None)
    if row.hidden or (slot is None and sheet.blind and not voted(found, request)):
        raise Http404
    column = next(one for one in sheet.columns if one.pk == found.column_id)
    found.column = column
    examples = Example.objects.in_bulk(found.examples)
    answer = found.generation_id or found.pk  # without a generation there are no opinions, under any id
    context = {
        "grid": grid,
        "cell": found,
        "slot": slot,
        "column": column,
        "others": [one for one in row.slots if one.cell and one.column and one.column != column and one.cell.text],
        "examples": [examples[key] for key in found.examples if key in examples],
        "opinions": Feedback.objects.opinions([answer], request.user)[answer],
        "is_json": is_json(found.text),
        **compared(request, row, found),
    }
    return render(request, "workspace/_grid_panel.html", context)


def voted(found: GridCell, request: StudioRequest) -> bool:
    return GridVote.objects.filter(input=found.input_id, run=found.run, user=request.user).exists()


def is_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[") and text.rstrip()[-1:] in ("}", "]")


def compared(request: StudioRequest, row: SheetRow, found: GridCell) -> dict[str, Any]:
    """The differing words against another column's answer to the same input."""
    key = request.GET.get("against")
    if not key:
        return {}
    other = next((slot for slot in row.slots if slot.column and str(slot.column.pk) == key and slot.cell), None)
    if other is None or other.cell is None:
        raise Http404
    return {"against": other.column, "pieces": diffs.word_diff(other.cell.text, found.text)}


def grid_vote(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    """Choose among the answers to one input by the number of its place, or 0 for a tie; the row comes back, revealed."""
    grid = owned(request.team, grid_id)
    found = get_object_or_404(grid.inputs, pk=key_or_404(request.POST.get("input")))
    sheet = Sheet(grid, request.user)
    row = sheet.row(found)
    places = {str(slot.number): slot.cell for slot in row.slots if slot.cell and slot.cell.text}
    choice = request.POST.get("choice", "")
    if str(row.run) != request.POST.get("run", str(row.run)) or not row.is_ready:
        return HttpResponse("These answers have changed. Look again, then vote.", status=409, content_type="text/plain")
    if choice != "0" and choice not in places:
        return HttpResponseBadRequest("There is no such answer.", content_type="text/plain")
    cell = places.get(choice)
    GridVote.objects.update_or_create(
        input=found, run=row.run, user=request.user, defaults={"column_id": cell.column_id if cell else None}
    )
    grid.change()
    if not request.htmx:
        return redirect(grid)
    context = {"grid": grid, "sheet": sheet, "may_vote": True, "rows": [sheet.row(found)]}
    return render(request, "workspace/_grid_rows.html", context)


def grid_collect(request: StudioRequest, grid_id: UUID) -> HttpResponse:
    """Send answers to a data set: the dialog, or the deed."""
    grid = owned(request.team, grid_id)
    sheet = Sheet(grid, request.user, run_asked(request))
    marked = request.POST.getlist("cell") or request.GET.getlist("cell")
    if request.method == "GET":
        form = CollectForm(request.team, name=f"Answers of {grid.name}"[:120], which="chosen" if marked else "good")
        return collect_shown(request, grid, form, marked, sheet)
    form = CollectForm(request.team, request.POST)
    if not form.is_valid():
        return collect_shown(request, grid, form, marked, sheet, status=422)
    cells = chosen(sheet, form.cleaned_data["which"], marked)
    if not cells:
        form.add_error("which", "There is no such answer yet. Rate some as good, or choose others.")
        return collect_shown(request, grid, form, marked, sheet, status=422)
    outcome = collect(
        [picked(one) for one in cells],
        team=request.team,
        author=request.user,
        name=form.cleaned_data["name"],
        description=f"Answers from the playground grid “{grid.name}”.",
        base=form.cleaned_data["base"],
    )
    if outcome.dataset is None:
        form.add_error(None, f"None of these answers can be a row: {reasons(outcome)}. Nothing was stored.")
        return collect_shown(request, grid, form, marked, sheet, status=422)
    messages.info(request, said_of(outcome))
    return to_page(request, outcome.dataset.get_absolute_url())


def chosen(sheet: Sheet, which: str, marked: list[str]) -> list[GridCell]:
    """The answers to send, in the order of the grid. Those that are still blind are not among them."""
    cells = sheet.cells.filter(sheet.revealed(), generation__state=State.SUCCEEDED)
    if which == "chosen":
        cells = cells.filter(pk__in=[key_or_404(key) for key in marked])
    elif which == "good":
        cells = cells.good()
    return list(cells.select_related("generation__repair").order_by("input__position", "column__position")[:MAX_CELLS])


def picked(found: GridCell) -> Picked:
    """The messages as they were asked, and the answer as it ought to be."""
    generation = found.generation
    asked = generation.messages if generation else []
    return Picked([*asked, {"role": "assistant", "content": found.correction() or found.text}], f"cell:{found.pk}")


def reasons(outcome: Collected) -> str:
    """Why answers were left out, each reason once."""
    return "; ".join(dict.fromkeys(f"one {reason}" for _, reason in outcome.left_out))


def said_of(outcome: Collected) -> str:
    said = f"{outcome.taken:,} answer{'' if outcome.taken == 1 else 's'} from the playground are in this data set."
    if outcome.left_out:
        said += f" {len(outcome.left_out):,} left out: {reasons(outcome)}."
    return said


def collect_shown(
    request: StudioRequest, grid: Grid, form: CollectForm, marked: list[str], sheet: Sheet, status: int = 200
) -> HttpResponse:
    counts = {which: len(chosen(sheet, which, marked)) for which in ("good", "chosen", "all")}
    context = {"grid": grid, "form": form, "marked": marked, "counts": counts, "run": sheet.run}
    return render(request, "workspace/_grid_collect.html", context, status=status)
