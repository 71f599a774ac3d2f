"""A chat turns into a prompt or an example set: a small form with its name, then the page of what was made."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from llmstudio.http import StudioRequest
from workspace import extracts
from workspace.examples import BadExample
from workspace.models import Chat, ExampleSet, Feedback, Prompt
from workspace.prompts import PromptError, tidy_name
from workspace.views.chats import owned


class NameForm(forms.Form):
    at = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, chat: Chat, data: Any = None, *, at: str = "", most: int, folders: bool) -> None:
        super().__init__(data, initial={"name": chat.title[:most], "at": at}, label_suffix="", auto_id="turn-into-%s")
        self.fields["name"] = forms.CharField(
            label="Name", max_length=most, widget=forms.TextInput(attrs={"autocomplete": "off"}),
            error_messages={"required": "It needs a name."},
            help_text="A slash makes a folder: support/refunds." if folders else "",
        )  # fmt: skip


def chat_to_prompt(request: StudioRequest, chat_id: UUID) -> HttpResponse:
    """The system prompt and the turns of the branch become the messages of a new prompt."""
    chat = owned(request.team, chat_id)
    form = named(request, chat, most=200, folders=True)
    if request.method == "GET" or not form.is_valid():
        return page(request, chat, form, "prompt")
    messages, variables = extracts.as_prompt(chat.system, branch(chat, form))
    try:
        if not messages:
            raise PromptError("empty", "Nothing has been said here yet.")
        with transaction.atomic():
            prompt = Prompt.start(
                team=request.team, author=request.user, name=tidy_name(form.cleaned_data["name"]), messages=messages,
                variables=variables, note=f"From the chat “{chat}”",
            )  # fmt: skip
    except PromptError as error:
        form.add_error("name" if error.code == "bad_name" else None, str(error))
    except IntegrityError:
        form.add_error("name", "There is a prompt of this name already. Choose another.")
    else:
        return redirect(prompt)
    return page(request, chat, form, "prompt")


def chat_to_examples(request: StudioRequest, chat_id: UUID) -> HttpResponse:
    """Each question and its answer, corrected where someone has corrected it, becomes an example of a new set."""
    chat = owned(request.team, chat_id)
    form = named(request, chat, most=120, folders=False)
    if request.method == "GET" or not form.is_valid():
        return page(request, chat, form, "examples")
    turns = branch(chat, form)
    answers = [turn.message.generation_id for turn in turns if turn.message.generation_id]
    try:
        rows = extracts.as_examples(turns, Feedback.objects.opinions(answers, request.user))
        if not rows:
            raise BadExample("output", "Nothing has been answered here yet, so there is no example to take.")
        with transaction.atomic():
            found = ExampleSet.start(team=request.team, author=request.user, name=form.cleaned_data["name"].strip())
            found.append(request.user, rows, note=f"From the chat “{chat}”")
    except BadExample as problem:
        form.add_error(None, str(problem))
        return page(request, chat, form, "examples")
    except IntegrityError:
        form.add_error("name", "There is a set of this name already. Choose another.")
        return page(request, chat, form, "examples")
    return redirect(found)


def named(request: StudioRequest, chat: Chat, *, most: int, folders: bool) -> NameForm:
    data = request.POST if request.method == "POST" else None
    return NameForm(chat, data, at=request.GET.get("at", ""), most=most, folders=folders)


def branch(chat: Chat, form: NameForm) -> Any:
    return chat.path(form.cleaned_data["at"], texts=True)


def page(request: StudioRequest, chat: Chat, form: NameForm, into: str) -> HttpResponse:
    action = reverse(f"chat_to_{into}", kwargs={"team": request.team.slug, "chat_id": chat.pk})
    context = {"chat": chat, "form": form, "into": into, "action": action}
    return render(request, "workspace/_turn_into.html", context, status=422 if form.errors else 200)
