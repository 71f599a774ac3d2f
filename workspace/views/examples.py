"""The pages of few-shot example sets: the list, one set, its history. Changing a set is in example_changes.py."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from jobs.models import LanguageModel
from llmstudio.asked import key_in, number_in
from llmstudio.http import StudioRequest
from workspace import sources
from workspace.diffs import word_diff
from workspace.example_costs import Costs
from workspace.example_list import SORTS, ExampleList
from workspace.fewshot import HOWS
from workspace.forms.examples import SetForm
from workspace.models import Example, ExampleSet, ExampleSetVersion, PromptVersion, Team, User
from workspace.prompts import variables_in
from workspace.selection import Selection

PAGE = 60  # sets listed at once
LISTED = 30  # prompt versions, versions of a set
SHARE = 3  # a set that takes more than a third of the model's room is warned about


def example_sets(request: StudioRequest) -> HttpResponse:
    return sets_page(request, SetForm(team=request.team))


def sets_page(request: StudioRequest, form: SetForm, status: int = 200) -> HttpResponse:
    query, archived = request.GET.get("q", "").strip(), bool(request.GET.get("archived"))
    sort = "stars" if request.GET.get("sort") == "stars" else ""
    rows = ExampleSet.objects.filter(team=request.team, archived_at__isnull=not archived).search(query)
    if sort:
        rows = rows.best_rated()
    sets: list[Any] = list(rows.select_related("team", "author")[: PAGE + 1])
    figures = ExampleSet.objects.figures(sets)
    for found in sets:
        found.figures = figures.get(found.pk)
    context = {
        "sets": sets[:PAGE],
        "more": len(sets) > PAGE,
        "query": query,
        "archived": archived,
        "sort": sort,
        "form": form,
        "any": bool(sets or query or archived) or ExampleSet.objects.filter(team=request.team).exists(),
        "just_archived": just_archived(request),
    }
    return render(request, f"workspace/{'_' if request.htmx else ''}example_sets.html", context, status=status)


def example_set(request: StudioRequest, set_id: UUID) -> HttpResponse:
    return set_page(request, owned(request.team, set_id))


def set_page(request: StudioRequest, found: ExampleSet, *, status: int = 200, **extra: Any) -> HttpResponse:
    """The page of a set; htmx asks for its examples alone. `extra` carries what was typed and refused."""
    costs = Costs(chosen_model(request))
    version = found.newest
    context = {
        "set": found,
        "version": version,
        "listing": ExampleList(version, request.user, request.GET, costs),
        "sorts": SORTS,
        "kinds": Example.Source.choices,
        **costs_of(version, costs),
        **extra,
    }
    if request.htmx and not extra:
        return render(request, "workspace/_examples.html", context)
    around = {
        "used_by": used_by(found),
        "models": LanguageModel.objects.for_team(request.team),
        "form": SetForm(instance=found, team=request.team, auto_id="set_%s"),
        "hows": HOWS,
    }
    return render(request, "workspace/example_set.html", {**around, **context}, status=status)


def example_set_history(request: StudioRequest, set_id: UUID) -> HttpResponse:
    """The versions, and what differs between two of them by words."""
    found = owned(request.team, set_id)
    old, new = (number_in(request.GET.get(name)) for name in ("old", "new"))
    new = new or found.latest
    old = old or max(new - 1, 1)
    pair = {version.number: version for version in found.versions.filter(number__in=(old, new))}
    if not {old, new} <= set(pair):
        raise Http404
    context = {
        "set": found,
        "versions": found.versions.select_related("author")[:200],
        "old": pair[old],
        "new": pair[new],
        "changes": described(pair[old], pair[new]),
    }
    return render(request, "workspace/example_history.html", context)


def example_source(request: StudioRequest, set_id: UUID, example_id: UUID) -> HttpResponse:
    """To where an example came from."""
    example = get_object_or_404(Example, set__team=request.team, set=set_id, pk=example_id)
    try:
        return redirect(sources.find(example.source_kind, example.source_id, request.team).url)
    except sources.NotThere:
        raise Http404 from None


def example_preview(request: StudioRequest, set_id: UUID) -> HttpResponse:
    """Which examples each way of choosing takes for an input."""
    found = owned(request.team, set_id)
    versions = PromptVersion.objects.filter(examples__set=found, prompt__team=request.team)
    wanted = key_in(request.GET.get("prompt_version"))
    rows = versions.select_related("prompt__team", "examples__set")
    prompt_version = rows.filter(pk=wanted).first() if wanted else None
    selection = Selection.asked(found, prompt_version, request.GET, chosen_model(request))
    return render(request, "workspace/_example_selection.html", {"selection": selection, "set": found})


def owned(team: Team, set_id: UUID) -> ExampleSet:
    return get_object_or_404(ExampleSet.objects.select_related("team", "author"), team=team, pk=set_id)


def just_archived(request: StudioRequest) -> ExampleSet | None:
    """The set that was put away a moment ago, so that this can be undone."""
    key = key_in(request.GET.get("away"))
    return ExampleSet.objects.filter(team=request.team, pk=key, archived_at__isnull=False).first() if key else None


def chosen_model(request: StudioRequest) -> LanguageModel | None:
    """The model whose tokens are counted: as asked for, else the one asked for last, else the first."""
    models = LanguageModel.objects.for_team(request.team)
    wanted = number_in(request.GET.get("model")) or request.session.get("counted_on")
    found = models.filter(pk=wanted).first() if wanted else None
    if found and request.GET.get("model"):
        request.session["counted_on"] = found.pk
    return found or models.order_by("kind", "name").first()


def costs_of(version: ExampleSetVersion, costs: Costs) -> dict[str, Any]:
    total = costs.total(version)
    room = costs.model.room() if costs.model else 0
    return {
        "costs": costs,
        "total": total,
        "room": room,
        "share": 100 * total / room if room else None,
        "heavy": bool(room) and total * SHARE > room,
    }


def used_by(found: ExampleSet) -> list[PromptVersion]:
    rows = PromptVersion.objects.filter(examples__set=found, prompt__archived_at=None)
    return list(rows.select_related("prompt__team", "examples").order_by("prompt__name", "-number")[:LISTED])


def variables_of(found: ExampleSet, examples: list[Example], users: list[PromptVersion]) -> list[str]:
    """Names worth a field of their own when an example is written: those that examples have, and those that a prompt
    with several asks for in its last question."""
    names = dict.fromkeys(name for example in examples for name in example.values)
    for version in users:
        asked = variables_in([turn for turn in version.messages if turn.get("role") == "user"][-1:])
        if len(asked) > 1:
            names |= dict.fromkeys(asked)
    return list(names)[:20]


def described(old: ExampleSetVersion, new: ExampleSetVersion) -> list[dict[str, Any]]:
    """The differences with their texts, edits word by word."""
    found = old.differences(new)[:200]
    texts = Example.objects.in_bulk({pk for one in found for pk in (one.old, one.new) if pk})
    described = []
    for one in found:
        before, after = texts.get(one.old) if one.old else None, texts.get(one.new) if one.new else None
        words = {}
        if one.kind == "edited" and before and after:
            words = {"input": word_diff(before.input, after.input), "output": word_diff(before.output, after.output)}
            for name in dict.fromkeys([*before.values, *after.values]):
                if before.values.get(name) != after.values.get(name):
                    words[name] = word_diff(before.values.get(name, ""), after.values.get(name, ""))
        described.append(
            {"kind": one.kind, "was": one.was, "place": one.place, "example": after or before, "words": words}
        )
    return described


def ratings(example: Example, user: User) -> Any:
    """The example with its stars, as the page shows them."""
    return Example.objects.filter(pk=example.pk).rated(user).get()
