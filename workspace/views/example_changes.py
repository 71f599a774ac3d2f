"""Changing example sets: new ones, their examples in order, ratings, pasting, restoring, archiving, and their prompts."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from llmstudio.asked import key_in, number_in
from llmstudio.http import StudioRequest
from workspace import pasting
from workspace.example_merging import Choice
from workspace.examples import Slot, moved, rebuilt, summary
from workspace.forms.examples import Places, SetForm
from workspace.models import Archived, Example, ExampleRating, ExampleSet, ExampleSetVersion, Prompt, Stale, TooMany
from workspace.models.examples import MAX_EXAMPLES
from workspace.prompts import PromptError
from workspace.views.examples import described, owned, ratings, set_page, sets_page, used_by, variables_of


def example_set_new(request: StudioRequest) -> HttpResponse:
    form = SetForm(request.POST, team=request.team)
    if form.is_valid():
        try:
            return redirect(ExampleSet.start(team=request.team, author=request.user, **form.cleaned_data))
        except IntegrityError:
            form.add_error("name", "Another set has this name. Choose a different one.")
    return sets_page(request, form, status=422)


def example_set_change(request: StudioRequest, set_id: UUID) -> HttpResponse:
    """Another name or description."""
    found = owned(request.team, set_id)
    form = SetForm(request.POST, instance=found, team=request.team, auto_id="set_%s")
    status, problem = 422, ""
    if form.is_valid():
        try:
            found.describe(**form.cleaned_data)
        except IntegrityError:
            form.add_error("name", "Another set has this name. Choose a different one.")
        except Archived as refusal:
            status, problem = 409, str(refusal)
        else:
            messages.success(request, "Saved.")
            return redirect(found)
    found.refresh_from_db(fields=["name", "description"])  # checking the form has written into it
    return set_page(request, found, status=status, form=form, form_open=True, problem=problem)


def example_set_archive(request: StudioRequest, set_id: UUID) -> HttpResponse:
    """Out of the lists, or (undo) back again. Prompts that use it keep it."""
    found = owned(request.team, set_id)
    undo = "undo" in request.POST
    try:
        found.archive(request.user, undo=undo)
    except IntegrityError:
        problem = f"It cannot come back as “{found}”: another set has that name now. Rename that one first."
        return set_page(request, found, status=409, problem=problem)
    if undo:
        messages.success(request, "The set is back in the list.")
        return redirect(found)
    return redirect(f"{reverse('example_sets', kwargs={'team': request.team.slug})}?away={found.pk}")


def example_set_restore(request: StudioRequest, set_id: UUID, number: int) -> HttpResponse:
    found = owned(request.team, set_id)
    get_object_or_404(found.versions, number=number)
    try:
        version = found.restore(request.user, number)
    except Archived as refusal:
        return set_page(request, found, status=409, problem=str(refusal))
    messages.success(request, f"Version {number} is restored, as version {version.number}.")
    return redirect(found)


def example_fields(request: StudioRequest, set_id: UUID) -> HttpResponse:
    """The fields of one example, or of a new one, in its place on the set's page."""
    found = owned(request.team, set_id)
    pk = key_in(request.GET.get("example"))
    example = get_object_or_404(Example, set=found, pk=pk) if pk else None
    place = {key: number for number, key in enumerate(found.newest.order, 1)}.get(example.pk) if example else None
    names = variables_of(found, [example] if example else [], used_by(found))
    values = [(name, example.values.get(name, "") if example else "") for name in names]
    context = {
        "set": found,
        "key": str(example.pk) if example else f"new-{uuid4().hex[:12]}",
        "place": place,
        "example": example,
        "input": example.input if example else "",
        "output": example.output if example else "",
        "values": values,
    }
    return render(request, "workspace/_example_fields.html", context)


def example_set_save(request: StudioRequest, set_id: UUID) -> HttpResponse:
    """The next version as the page says it. A conflict comes back with both sides; nothing that was typed is lost."""
    found = owned(request.team, set_id)
    wanted = Places(request.POST)
    base = get_object_or_404(found.versions, number=wanted.seen)
    if wanted.errors:
        return refused(request, found, wanted)
    mine = moved(rebuilt(base.order, wanted.shown, wanted.slots, arranged=wanted.arranged), wanted.moves)
    slots, seen, note = mine, base.number, request.POST.get("note", "").strip()
    if theirs := number_in(request.POST.get("theirs")):  # the answer to a conflict
        newer = get_object_or_404(found.versions, number=theirs)
        slots, _ = base.merged(newer, mine, chosen(request.POST))
        seen, note = newer.number, note or f"Merged with version {newer.number}"
    try:
        version = found.save_slots(request.user, slots, based_on=seen, note=note)
    except Stale as stale:
        return conflict(request, found, base, stale.latest, mine)
    except (TooMany, Archived) as error:
        return refused(request, found, wanted, str(error))
    messages.success(request, f"Saved as version {version.number}." if version else "Nothing had changed.")
    return redirect(f"{found.get_absolute_url()}?saved={found.newest.number}")  # the page's local copy can go


def refused(request: StudioRequest, found: ExampleSet, wanted: Places, problem: str = "") -> HttpResponse:
    """The page again, with everything as it was typed."""
    names = variables_of(found, [], used_by(found))
    known = Example.objects.filter(set=found).in_bulk(
        [slot for key in request.POST.getlist("key") if (slot := key_in(key))]
    )
    typed = []
    for key in dict.fromkeys(request.POST.getlist("key")):
        pk = key_in(key)
        if f"input-{key}" not in request.POST:
            if pk in known:
                typed.append({"key": key, "example": known[pk], "kept": True})
            continue
        start = f"value-{key}-"
        given = {name.removeprefix(start): request.POST[name] for name in request.POST if name.startswith(start)}
        typed.append({
            "key": key,
            "example": known.get(pk) if pk else None,
            "input": request.POST[f"input-{key}"],
            "output": request.POST.get(f"output-{key}", ""),
            "values": list({**dict.fromkeys(names, ""), **given}.items()),
            "error": wanted.errors.get(key, ""),
        })  # fmt: skip
    problem = problem or "Nothing was saved yet: an example is not complete. It is marked below."
    return set_page(request, found, status=422, typed=typed, posted=request.POST, problem=problem)


def conflict(
    request: StudioRequest, found: ExampleSet, base: ExampleSetVersion, latest: ExampleSetVersion, mine: list[Slot]
) -> HttpResponse:
    """Both sides of a save that came second: what they changed, what I changed, and a choice where both did."""
    _, clashes = base.merged(latest, mine)
    texts = Example.objects.in_bulk(
        {pk for one in clashes for pk in (one.base, one.theirs) if pk} | {slot.example for slot in mine if slot.example}
    )
    place = {pk: number for number, pk in enumerate(base.order, 1)}
    kept = {slot.example for slot in mine if slot.example}
    hidden = [(name, value) for name, values in request.POST.lists() for value in values]
    context = {
        "set": found,
        "base": base,
        "latest": latest,
        "theirs": described(base, latest),
        "mine": summary(base.order, mine) or "Nothing",
        "my_edits": [
            {"place": place.get(slot.example) if slot.example else None, "texts": slot.texts}
            for slot in mine
            if slot.texts
        ],
        "my_removals": [place[pk] for pk in base.order if pk not in kept],
        "clashes": [
            {
                "base": texts.get(one.base),
                "place": place[one.base],
                "mine": one.mine.texts if one.mine else None,
                "theirs": texts.get(one.theirs) if one.theirs else None,
            }
            for one in clashes
        ],
        "hidden": [
            (name, value)
            for name, value in hidden
            if name not in ("csrfmiddlewaretoken", "theirs") and not name.startswith("choice-")
        ],
    }
    return render(request, "workspace/example_conflict.html", context, status=409)


def chosen(data: Any) -> dict[UUID, Choice]:
    """What someone decided for each example that both had changed."""
    found: dict[UUID, Choice] = {}
    for name in data:
        pk = key_in(name.removeprefix("choice-")) if name.startswith("choice-") else None
        if pk and data[name] in ("mine", "theirs", "both"):
            found[pk] = data[name]
    return found


def example_rate(request: StudioRequest, set_id: UUID, example_id: UUID) -> HttpResponse:
    """One to five stars; the ones already given are taken back."""
    example = get_object_or_404(
        Example.objects.select_related("set__team"), set__team=request.team, set=set_id, pk=example_id
    )
    before = example.ratings.filter(user=request.user).values_list("stars", flat=True).first()
    stars = min(number_in(request.POST.get("stars")) or 0, 5)
    ExampleRating.rate(example, request.user, 0 if stars == before else stars)
    context = {"example": ratings(example, request.user), "set": example.set}
    return render(request, "workspace/_example_stars.html", context)


def example_paste(request: StudioRequest, set_id: UUID) -> HttpResponse:
    """Many at once. With bad lines nothing is added until someone agrees to leave those out."""
    found = owned(request.team, set_id)
    text, partly = request.POST.get("text", ""), "partly" in request.POST
    context: dict[str, Any] = {"set": found, "text": text}
    try:
        pasted = pasting.read(text, most=MAX_EXAMPLES - len(found.newest.order))
    except pasting.NotReadable as error:
        return render(request, "workspace/_example_paste.html", {**context, "problem": str(error)}, status=422)
    if not pasted.good or (pasted.wrong and not partly):
        return render(request, "workspace/_example_paste.html", {**context, "pasted": pasted}, status=422)
    count = len(pasted.good)
    note = f"Pasted {count} example{'s' if count != 1 else ''}"
    try:
        found.add_many(request.user, pasted.good, note=note, source_kind=Example.Source.IMPORT)
    except Archived as refusal:
        return render(request, "workspace/_example_paste.html", {**context, "problem": str(refusal)}, status=409)
    left = f" {pasted.wrong:,} bad line{'s were' if pasted.wrong != 1 else ' was'} left out." if pasted.wrong else ""
    messages.success(request, f"{note}.{left}")
    where = found.get_absolute_url()
    return HttpResponseClientRedirect(where) if request.htmx else redirect(where)


def example_use(request: StudioRequest, set_id: UUID) -> HttpResponse:
    """A new version of a prompt that takes the newest version of the set."""
    found = owned(request.team, set_id)
    key = key_in(request.POST.get("prompt"))
    prompts = Prompt.objects.for_team(request.team).filter(versions__examples__set=found).distinct()
    prompt = get_object_or_404(prompts, pk=key)
    latest, newest = prompt.versions.select_related("examples").get(number=prompt.latest), found.newest
    if latest.examples is None or latest.examples.set_id != found.pk:
        problem = f"The newest version of {prompt} no longer uses this set, so it was left as it is."
        return set_page(request, found, status=409, problem=problem)
    if latest.examples_id == newest.pk:
        messages.info(request, f"{prompt} uses version {newest.number} already.")
        return redirect(found)
    try:
        with transaction.atomic():
            content = {**latest.content(), "examples": newest}
            note = f"Examples: {found}, version {newest.number}"
            version = prompt.save_version(request.user, based_on=latest.number, note=note, **content)
    except Stale as stale:
        return set_page(request, found, status=409, problem=f"{stale} Look at it, then update again.")
    except (PromptError, Archived) as error:
        return set_page(request, found, status=409, problem=f"{prompt} cannot be saved as it is: {error}")
    messages.success(
        request, f"{prompt} has a version {version.number}, which uses version {newest.number} of this set."
    )
    return redirect(found)
