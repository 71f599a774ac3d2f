"""Prompts and examples in chat: what `/` offers, filling a prompt in, and starting a chat from a prompt or a set."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse

from llmstudio.asked import key_or_404
from llmstudio.http import StudioRequest
from workspace import chat_prompts as offers
from workspace.chat_forms import Answerers, params_from
from workspace.forms.values import ValuesForm
from workspace.models import Attachment, Chat, ExampleSet, PromptVersion
from workspace.prompts import PromptError
from workspace.views.chats import new_page, owned


def chat_prompts(request: StudioRequest) -> HttpResponse:
    """What `/` offers for `q`; with `version`, the form that asks for that prompt's variables."""
    if "version" in request.GET:
        return form_page(request, chosen(request, request.GET["version"]))
    query = request.GET.get("q", "")[:200]
    rows = list(offers.offered(request.team, request.user, query)[: offers.SHOWN + 1])
    context = {
        "query": query,
        "offered": rows[: offers.SHOWN],
        "more": len(rows) > offers.SHOWN,
        "folders": offers.folders(request.team, query),
        "any": bool(rows) or request.team.prompts.filter(archived_at=None).exists(),
    }
    return render(request, "workspace/_prompt_picker.html", context)


def chat_insert(request: StudioRequest, chat_id: UUID) -> HttpResponse:
    """Fill a prompt in and bring it into the composer. Answers with what the page does next; errors come as the form."""
    chat = owned(request.team, chat_id)
    version = chosen(request, request.POST.get("prompt_version", ""))
    attachment = inserted(request, version, chat)
    if isinstance(attachment, HttpResponse):
        return attachment
    said = f"{version.prompt.name} has set this chat's system prompt." if attachment.undo else ""
    waiting = Attachment.objects.waiting(chat, request.user)
    shelf = render_to_string("workspace/_shelf.html", {"waiting": waiting, "team": request.team}, request=request)
    return JsonResponse({"text": attachment.text, "shelf": shelf, "said": said})


def chat_from_prompt(request: StudioRequest) -> HttpResponse:
    """A new chat with this prompt in its composer. Where values are missing, the chat asks for them."""
    version = chosen(request, request.POST.get("prompt_version", ""))
    who = Answerers(request.team)
    try:
        if answers := request.POST.get("answers"):
            model, adapter = who.pick(answers)
        else:
            model, adapter = who.usual(request.user, wanted=version.config.get("model"))
    except KeyError:
        return new_page(request, "No model can answer here just now. Choose another.", status=422)
    params = params_from(version.config)
    chat = Chat(team=request.team, author=request.user, model=model, adapter=adapter, params=params)
    script = "X-Fragment" in request.headers
    form = bound(version, request.POST)
    if isinstance(form, PromptError) or not form.is_valid():
        if script:
            return form_page(request, version, form=form, status=422)
        chat.save(force_insert=True)
        return redirect(f"{chat.get_absolute_url()}?insert={version.pk}")
    chat.save(force_insert=True)
    attachment = inserted(request, version, chat)
    if isinstance(attachment, HttpResponse):
        chat.delete()
        return attachment
    if script:
        return JsonResponse({"text": attachment.text, "chat": str(chat.pk), "location": chat.get_absolute_url()})
    return redirect(chat)


def chat_from_examples(request: StudioRequest) -> HttpResponse:
    """A new chat whose first question is asked after the examples of this set."""
    sets = ExampleSet.objects.for_team(request.team)
    found = get_object_or_404(sets, pk=key_or_404(request.POST.get("set")))
    try:
        model, adapter = Answerers(request.team).usual(request.user)
    except KeyError:
        return new_page(request, "No model can answer here just now.", status=422)
    chat = Chat.objects.create(
        team=request.team, author=request.user, model=model, adapter=adapter, title=f"With {found.name}"[:120]
    )
    Attachment.of_examples(found.newest, chat=chat, author=request.user)
    return redirect(chat)


def chosen(request: StudioRequest, key: str) -> PromptVersion:
    versions = PromptVersion.objects.filter(prompt__team=request.team, prompt__archived_at=None)
    return get_object_or_404(versions.select_related("prompt__team", "examples"), pk=key_or_404(key))


def bound(version: PromptVersion, data: Any) -> ValuesForm | PromptError:
    try:
        return ValuesForm(offers.questions(version), data)
    except PromptError as error:
        return error


def inserted(request: StudioRequest, version: PromptVersion, chat: Chat) -> Attachment | HttpResponse:
    """The attachment, or the form with what is wrong."""
    form = bound(version, request.POST)
    if isinstance(form, PromptError) or not form.is_valid():
        return form_page(request, version, form=form, status=422)
    values = {variable.name: form.cleaned_data.get(variable.name) for variable in form.variables}
    try:
        return Attachment.of_prompt(version, values, chat=chat, author=request.user)
    except PromptError as error:
        form.add_error(None, str(error))
        return form_page(request, version, form=form, status=422)


def form_page(
    request: StudioRequest, version: PromptVersion, *, form: ValuesForm | PromptError | None = None, status: int = 200
) -> HttpResponse:
    form = form or bound(version, None)
    broken = form if isinstance(form, PromptError) else None
    context = {
        "version": version,
        "form": None if broken else form,
        "broken": broken,
        "has_system": any(message.get("role") == "system" for message in version.messages),
        "insert_url": reverse("chat_from_prompt", kwargs={"team": request.team.slug}),
    }
    return render(request, "workspace/_insert_form.html", context, status=status)
