"""The pages of chat. What is said goes over the websocket (workspace/consumers.py); these show it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils.text import slugify

from jobs.models import Adapter, Worker
from llmstudio.asked import key_in, key_or_404
from llmstudio.http import StudioRequest
from workspace.chat_forms import Answerers, ChatSettings, answers_key
from workspace.chat_lines import lines
from workspace.chats import Refused
from workspace.models import Attachment, Chat, Comment, Feedback, Role, Team

PAGE = 60  # conversations listed at once


def chats(request: StudioRequest) -> HttpResponse:
    """A new conversation, with the others beside it. htmx asks for the list alone."""
    if request.htmx:
        return render(request, "workspace/_chat_list.html", listed(request))
    return new_page(request)


def chat_new(request: StudioRequest) -> HttpResponse:
    """Start a chat, and say its first words if there are any."""
    key = key_in(request.POST.get("chat")) or uuid4()
    if Chat.objects.filter(pk=key).exists():  # the form was sent twice
        return redirect("chat", team=request.team.slug, chat_id=key)
    try:
        model, adapter = Answerers(request.team).pick(request.POST.get("answers", ""))
        if "open" in request.POST:  # for a file: it needs a chat to be brought into
            return redirect(Chat.objects.create(team=request.team, author=request.user, model=model, adapter=adapter))
        with transaction.atomic():
            chat = Chat.objects.create(pk=key, team=request.team, author=request.user, model=model, adapter=adapter)
            chat.send(request.user, request.POST.get("text", ""), parent=None, client_id=str(key))
    except KeyError:
        return new_page(request, "This model is no longer available here. Choose another.", status=422)
    except Refused as refusal:
        return new_page(request, str(refusal), status=422)
    return redirect(chat)


def chat_with_adapter(request: StudioRequest) -> HttpResponse:
    """The adapter beside its base, asked the same questions."""
    found = Adapter.objects.for_team(request.team)
    adapter = get_object_or_404(found, pk=key_or_404(request.POST.get("adapter")))
    return redirect(Chat.start_pair(request.user, adapter))


def chat(request: StudioRequest, chat_id: UUID) -> HttpResponse:
    chat = owned(request.team, chat_id)
    left = Chat.objects.filter(team=request.team, beside=chat).values_list("pk", flat=True).first()
    if left:
        return redirect("chat", team=request.team.slug, chat_id=left)
    at = position(request)
    panes = [pane(request, one, at) for one in (chat, chat.beside) if one]
    waiting = list(Attachment.objects.waiting(chat, request.user))
    context = {
        "chat": chat,
        "panes": panes,
        "at": at,
        "waiting": waiting,
        "words": next((one.text for one in waiting if one.kind == one.Kind.PROMPT), ""),
        **listed(request, chat),
    }
    return render(request, "workspace/chat.html", context)


def chat_thread(request: StudioRequest, chat_id: UUID) -> HttpResponse:
    """The conversation alone, along the branch of `at`."""
    chat = owned(request.team, chat_id)
    return render(request, "workspace/_thread.html", pane(request, chat, position(request)))


def chat_settings(request: StudioRequest, chat_id: UUID) -> HttpResponse:
    """Rename, or change who answers and how. The panel comes back with what was wrong, if anything."""
    chat = owned(request.team, chat_id)
    if request.method == "GET":
        return render(request, "workspace/_chat_panel.html", pane(request, chat))
    if "title" in request.POST:
        chat.change(title=request.POST["title"].strip()[:120])
        return redirect(chat)
    form = ChatSettings(chat, request.POST)
    if form.is_valid():
        chat.change(**form.changes())
        if not request.htmx:
            return redirect(chat)
        form = ChatSettings(chat)
    return render(request, "workspace/_chat_panel.html", {**pane(request, chat), "form": form})


def chat_archive(request: StudioRequest, chat_id: UUID) -> HttpResponse:
    chat = owned(request.team, chat_id)
    undo = "undo" in request.POST
    chat.archive(request.user, undo=undo)
    messages.info(request, "The chat is back in the list." if undo else "Archived. It can be restored at any time.")
    return redirect(chat)


def chat_export(request: StudioRequest, chat_id: UUID) -> HttpResponse:
    """The branch one looks at, as Markdown to read, or as JSON to compute with: there it is what the model reads,
    with files and examples."""
    chat = owned(request.team, chat_id)
    turns = chat.path(position(request), texts=True)
    name = slugify(str(chat)) or "chat"
    if request.GET.get("format") == "json":
        said = [read for turn in turns for read in turn.message.as_turns()]
        if chat.system:
            said.insert(0, {"role": "system", "content": chat.system})
        whole = {
            "title": str(chat),
            "model": chat.adapter.key if chat.adapter else chat.model.key,
            "parameters": chat.params,
            "created_at": chat.created_at.isoformat(),
            "messages": said,
        }
        response: HttpResponse = JsonResponse(whole, json_dumps_params={"indent": 2, "ensure_ascii": False})
        name += ".json"
    else:
        text = render_to_string("workspace/chat.md", {"chat": chat, "turns": turns})
        response = HttpResponse(text, content_type="text/markdown; charset=utf-8")
        name += ".md"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def position(request: StudioRequest) -> UUID | None:
    """The message whose branch is asked for; None for the latest."""
    at = request.GET.get("at")
    return key_or_404(at) if at else None


def owned(team: Team, chat_id: UUID) -> Chat:
    chat: Chat = get_object_or_404(Chat.objects.select_related("model", "adapter"), team=team, pk=chat_id)
    for one in (chat, chat.beside):
        if one:
            one.team = team
    return chat


def listed(request: StudioRequest, current: Chat | None = None) -> dict[str, Any]:
    """The list of conversations as its search box and filters ask for it."""
    query, who, archived = (
        request.GET.get("q", "").strip(),
        request.GET.get("who", ""),
        bool(request.GET.get("archived")),
    )
    rows = Chat.objects.filter(team=request.team, archived_at__isnull=not archived).listed()
    if who == "me":
        rows = rows.filter(author=request.user)
    if query:
        rows = rows.search(query)
    found = list(lines(rows[: PAGE + 1]))
    here = str(current.pk) if current else request.GET.get("here", "")
    asked = {"q": query, "who": who, "archived": "1" if archived else "", "here": here}
    at = key_in(here)
    return {
        "listed": [(one, one.drawn_as(request.team, request.user, at)) for one in found[:PAGE]],
        "more": len(found) > PAGE,
        "query": query,
        "who": who,
        "archived": archived,
        "here": here,
        "current": at,
        "filters": urlencode({key: value for key, value in asked.items() if value}),
    }


def pane(request: StudioRequest, chat: Chat, at: UUID | None = None) -> dict[str, Any]:
    """One conversation with all that is shown around it."""
    may_say = request.membership.may(Role.EDITOR) and chat.archived_at is None
    turns = chat.path(at)
    replies = [turn.message.generation_id for turn in turns if turn.message.generation_id]
    opinions = Feedback.objects.opinions(replies, request.user)
    open_threads = Comment.objects.count_open(request.team, "message", [turn.pk for turn in turns])
    reader = (request.team.slug, request.user.pk, request.membership.role, may_say)
    turns = [
        replace(turn, opinions=opinions[turn.message.generation_id]) if turn.message.generation_id else turn
        for turn in turns
    ]
    turns = [
        replace(turn, drawn_as=("turn", settled, open_threads.of(turn.pk), reader))
        if (settled := turn.settled)
        else turn
        for turn in turns
    ]
    latest = next((turn.message.reply for turn in reversed(turns) if turn.message.reply), None)
    workers = list(Worker.objects.alive())
    room = chat.model.room(workers)
    used = latest.prompt_tokens + latest.completion_tokens if latest else 0
    return {
        "chat": chat,
        "turns": turns,
        "leaf": turns[-1].message.pk if turns else "",
        "worker_alive": any(worker.kind == "infer" for worker in workers),
        "used": used,
        "room": room,
        "left": max(room - used, 0),
        "may_say": may_say,
        "open_threads": open_threads,
        "form": ChatSettings(chat),
    }


def new_page(request: StudioRequest, error: str = "", status: int = 200) -> HttpResponse:
    who = Answerers(request.team)
    last = Chat.objects.filter(team=request.team, author=request.user).select_related("model", "adapter").first()
    chosen = request.POST.get("answers") or (answers_key(last.model, last.adapter) if last else "")
    context = {
        "choices": who.choices(),
        "any_model": bool(who.models),
        "chosen": chosen,
        "text": request.POST.get("text", ""),
        "fresh": uuid4(),
        "error": error,
        "worker_alive": "infer" in Worker.objects.kinds_alive(),
        **listed(request),
    }
    return render(request, "workspace/chats.html", context, status=status)
