"""Files in chat: bringing one in, cutting it to fit, taking it out, and downloading it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.http import content_disposition_header

from jobs import downloads
from jobs.models import StoredFile
from llmstudio.asked import key_or_404, number_in
from llmstudio.gate import forbidden
from llmstudio.http import StudioRequest
from llmstudio.policy import EDITOR
from workspace import documents
from workspace.models import Attachment, Chat
from workspace.views.chats import owned

MAX_WAITING = 10


def chat_files(request: StudioRequest, chat_id: UUID) -> HttpResponse:
    """GET: what waits in one's composer; with `files`, what `#` offers. POST: one more file, or one said before."""
    chat = owned(request.team, chat_id)
    if request.method == "GET":
        if "files" in request.GET:
            words = request.GET["files"].lower()
            files = [one for one in Attachment.objects.files_in(chat) if words in one.name.lower()]
            return render(request, "workspace/_file_picker.html", {"files": files[:20], "query": words})
        return shelf(request, chat)
    if chat.archived_at:
        return refused("This chat is archived. Restore it to bring files in.")
    if Attachment.objects.waiting(chat, request.user).count() >= MAX_WAITING:
        return refused(f"At most {MAX_WAITING} things go with one message. Send these first, or take one out.")
    if "again" in request.POST:
        key = key_or_404(request.POST["again"])
        old = get_object_or_404(Attachment, chat=chat, kind=Attachment.Kind.FILE, pk=key)
        old.again(chat, request.user)
        return shelf(request, chat)
    upload = request.FILES.get("file")
    if upload is None:
        return refused("No file came along. Choose one.")
    name = (upload.name or "file")[-200:]
    if (upload.size or 0) > documents.MAX_BYTES:
        return refused(f"{name} is larger than {documents.MAX_BYTES // 2**20} MB, the most that is read. Split it.")
    stored = StoredFile.keep(upload, team=request.team, author=request.user, purpose=StoredFile.ATTACHED)
    try:
        document = documents.read(stored.path, name)
    except documents.NotReadable as problem:
        path = stored.path
        stored.delete()
        path.unlink(missing_ok=True)
        return refused(str(problem))
    Attachment.of_file(stored, chat=chat, author=request.user, text=document.text, note=document.note)
    return shelf(request, chat)


def attachment(request: StudioRequest, attachment_id: UUID) -> HttpResponseBase:
    """GET: the file as it was brought in. POST `do`: remove, cut (to `room` tokens), uncut, undo (the system prompt);
    only one's own, and only until it is sent."""
    rows = Attachment.objects.select_related("chat__model", "chat__team", "chat__beside", "file")
    found = get_object_or_404(rows, team=request.team, pk=attachment_id)
    if request.method == "GET":
        if found.file is None:
            raise Http404
        response = downloads.attachment(pieces(found.file.path), "file", "application/octet-stream")
        response["Content-Disposition"] = content_disposition_header(True, found.name) or "attachment"
        return response
    if found.author_id != request.user.pk:
        return forbidden(request, EDITOR)
    do = request.POST.get("do", "")
    with transaction.atomic():
        if do == "undo":
            found.undo_system()
        elif found.message_id is not None:
            return refused("This has been sent already.")
        elif do == "remove":
            found.remove()
        elif do == "cut":
            found.cut(number_in(request.POST.get("room")) or 0)
        elif do == "uncut":
            found.uncut()
        else:
            return refused("This takes remove, cut, uncut or undo.")
    return shelf(request, found.chat)


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(downloads.CHUNK):
            yield piece


def shelf(request: StudioRequest, chat: Chat) -> HttpResponse:
    return render(request, "workspace/_shelf.html", {"waiting": Attachment.objects.waiting(chat, request.user)})


def refused(why: str) -> HttpResponse:
    return HttpResponse(why, status=422, content_type="text/plain; charset=utf-8")
