"""Writing a prompt: a new one, the editor of the latest version, its live preview, and saving without losing anything."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget

from llmstudio.asked import key_or_404, number_in
from llmstudio.http import StudioRequest
from workspace.drafts import Draft
from workspace.forms.prompts import DetailsForm, EditorForm, Problem, problems_in
from workspace.merging import merge
from workspace.models import Archived, Prompt, PromptVersion, Role, Stale, Team
from workspace.previews import chosen_model, preview
from workspace.prompts import MAX_CHARACTERS, PromptError
from workspace.variables import KINDS


def owned(team: Team, prompt_id: UUID) -> Prompt:
    prompt: Prompt = get_object_or_404(Prompt.objects.defer("search"), team=team, pk=prompt_id)
    prompt.team = team
    return prompt


def prompt(request: StudioRequest, prompt_id: UUID) -> HttpResponse:
    """The latest version in its editor; to those who may not write, or of an archived prompt, the version's own page."""
    found = owned(request.team, prompt_id)
    if request.method == "POST":
        return save(request, found)
    if not request.membership.may(Role.EDITOR) or found.archived_at:
        return redirect("prompt_version", team=request.team.slug, prompt_id=found.pk, number=found.latest)
    version = found.newest
    draft = Draft.of(version)
    form = EditorForm(request.team, draft, posted=False)
    return editor(request, found, form, based_on=version.number, version=version)


def prompt_new(request: StudioRequest) -> HttpResponse:
    """An empty editor with a name above it; POST makes the prompt and its first version."""
    kind = request.POST.get("kind") or request.GET.get("kind", "")
    fresh = Prompt(team=request.team, kind=kind if kind in Prompt.Kind.values else Prompt.Kind.CHAT)
    if request.method == "GET":
        form = EditorForm(request.team, Draft.blank(fresh.kind), posted=False)
        folder = request.GET.get("folder", "")[:180]
        return editor(
            request, fresh, form, details=DetailsForm(instance=fresh, initial={"name": folder and f"{folder}/"})
        )
    draft = Draft.posted(request.POST)
    form, details = EditorForm(request.team, draft, posted=True), DetailsForm(request.POST, instance=fresh)
    problems = [*problems_in(details), *problems_in(form)]
    if not problems:
        try:
            with transaction.atomic():
                made = Prompt.start(
                    team=request.team, author=request.user, kind=fresh.kind, note=note_of(request), **form.content,
                    **{name: details.cleaned_data[name] for name in ("name", "description", "tags")},
                )  # fmt: skip
        except PromptError as error:
            problems = [Problem.of(error, draft)]
        except IntegrityError:  # somebody else took the name between the check and here
            problems = [Problem("This name has just been taken. Choose another.", "name", "Name")]
        else:
            return saved(request, made.newest)
    return refused(request, fresh, form, problems, details=details)


def save(request: StudioRequest, prompt: Prompt) -> HttpResponse:
    """The next version; or why not; or, if someone else has saved meanwhile, both versions and a merge of them."""
    draft = Draft.posted(request.POST)
    form = EditorForm(request.team, draft, posted=True)
    based_on = number_in(request.POST.get("based_on")) or 0
    problems = problems_in(form)
    if problems:
        return refused(request, prompt, form, problems, based_on=based_on)
    content = form.content
    try:
        latest = prompt.newest
        if based_on == latest.number and latest.says(**content):
            problem = Problem(f"Nothing to save: this is what version {latest.number} says.")
            return refused(request, prompt, form, [problem], based_on=based_on)
        if latest.number == based_on + 1 and latest.author == request.user and latest.says(**content):
            return saved(request, latest)  # the same form, sent twice
        version = prompt.save_version(request.user, based_on=based_on, note=note_of(request), **content)
    except PromptError as error:
        return refused(request, prompt, form, [Problem.of(error, draft)], based_on=based_on)
    except Archived as refusal:
        return refused(request, prompt, form, [Problem(str(refusal))], based_on=based_on)
    except Stale as stale:
        return merging(request, prompt, draft, based_on, stale.latest)
    return saved(request, version)


def saved(request: StudioRequest, version: PromptVersion) -> HttpResponse:
    """Back to the editor; the address tells the page that its local copy can go."""
    messages.success(request, f"Saved as version {version.number}.")
    url = f"{version.prompt.get_absolute_url()}?saved={version.number}"
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)


def refused(
    request: StudioRequest, prompt: Prompt, form: EditorForm, problems: list[Problem], **context: Any
) -> HttpResponse:
    """What is wrong. htmx gets the sentences alone, and leaves what is typed where it is."""
    if request.htmx:
        answer = render(request, "workspace/_prompt_problems.html", {"problems": problems}, status=422)
        return retarget(answer, "#prompt-problems")
    return editor(request, prompt, form, problems=problems, status=422, **context)


def merging(request: StudioRequest, prompt: Prompt, mine: Draft, based_on: int, theirs: PromptVersion) -> HttpResponse:
    base = prompt.versions.filter(number=based_on).first()
    merged = merge(Draft.of(base) if base else Draft([], {}), mine, Draft.of(theirs))
    form = EditorForm(request.team, merged.draft, posted=False)
    return editor(
        request, prompt, form, based_on=theirs.number, merged=merged, theirs=theirs, base=base,
        status=409,
    )  # fmt: skip


def editor(
    request: StudioRequest, prompt: Prompt, form: EditorForm, *, status: int = 200, merged: Any = None, **context: Any
) -> HttpResponse:
    draft = form.draft
    context |= {
        "prompt": prompt,
        "note": note_of(request),
        "form": form,
        "rows": merged.choices if merged else [{"row": row} for row in draft.rows],
        "merged": merged,
        "variables": [
            draft.spec(name) | {"choices": draft.fields.get(f"choices:{name}", "")} for name in draft.variable_names
        ],
        "kinds": KINDS,
        "counters": form.who.models.values(),
        "counts_with": chosen_model(form.who, draft.fields.get("model", "")),
        "limit": MAX_CHARACTERS,
        "labels": prompt.labels_by_version().get(prompt.latest, []) if prompt.latest else [],
    }
    new = prompt._state.adding
    if request.htmx:
        answer = render(request, "workspace/_prompt_editor.html", context, status=status)
        return reswap(retarget(answer, "prompt-editor"), "outerHTML")
    return render(request, "workspace/prompt_new.html" if new else "workspace/prompt.html", context, status=status)


def prompt_preview(request: StudioRequest) -> HttpResponse:
    """The draft in the form as the model would get it, filled with the trial values. Stores nothing."""
    key = request.POST.get("prompt", "")
    kind = request.POST.get("kind", "")
    if key:
        about = owned(request.team, key_or_404(key))
    else:
        kind = kind if kind in Prompt.Kind.values else Prompt.Kind.CHAT
        about = Prompt(team=request.team, kind=kind, name=request.POST.get("name", "")[:200])
    form = EditorForm(request.team, Draft.posted(request.POST), posted=True)
    context: dict[str, Any] = {"problems": problems_in(form)}
    if not context["problems"]:
        model = chosen_model(form.who, request.POST.get("count_with") or form.cleaned_data["model"])
        seen = preview(about, form.content, request.POST, model)
        context |= {"seen": seen, "values_stale": seen.values and seen.shape != request.POST.get("shape")}
    return render(request, "workspace/_prompt_preview.html", context)


def prompt_news(request: StudioRequest, prompt_id: UUID) -> HttpResponse:
    """Whether someone has saved since the version that this editor began with."""
    found = owned(request.team, prompt_id)
    sent = number_in(request.GET.get("seen"))
    seen = found.latest if sent is None else sent
    newer = found.versions.select_related("author").filter(number__gt=seen).first()
    url = reverse("prompt_diff", kwargs={"team": request.team.slug, "prompt_id": found.pk})
    return render(request, "workspace/_prompt_news.html", {"prompt": found, "newer": newer, "seen": seen, "diff": url})


def note_of(request: StudioRequest) -> str:
    return " ".join(request.POST.get("note", "").split())[:300]
