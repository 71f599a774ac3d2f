"""/v1/files: uploads kept byte for byte, and the metrics of a run as a CSV file.

A run's results are a file of their own id that is written when it is read: nothing is stored twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import File, Form, Query, Router, UploadedFile
from pydantic import Field

from jobs.models import FineTune, StoredFile
from jobs.models.lifecycle import FINAL
from jobs.openai import results
from jobs.openai.shapes import Text, named, page, seconds
from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused

router = Router()

CHUNK = 2**16
Purpose = Literal["fine-tune", "evals", "user_data", "batch"]


@router.post("/files", url_name="files")
def create_file(
    request: StudioRequest, file: Annotated[UploadedFile, File()], purpose: Annotated[Purpose, Form()]
) -> dict[str, Any]:
    if not file.size:
        raise Refused(400, "The file is empty.", param="file", code="empty_file")
    if file.size > settings.STUDIO_MAX_UPLOAD:
        raise Refused(
            413,
            f"The file is larger than {settings.STUDIO_MAX_UPLOAD / 2**20:g} MiB.",
            param="file",
            code="file_too_large",
        )
    return show_file(StoredFile.keep(file, team=request.team, author=request.user, purpose=purpose))


@router.get("/files", url_name="files")
def list_files(
    request: StudioRequest,
    purpose: Annotated[Text | None, Query()] = None,
    limit: Annotated[int, Query(), Field(ge=1, le=10_000)] = 10_000,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
    after: Annotated[Text | None, Query()] = None,
) -> dict[str, Any]:
    files = _uploads(request)
    start = named(files, "file-", after, what="File object", param="after") if after else None
    if purpose:
        files = files.filter(purpose=purpose)
    return page(files, "created_at", after=start, limit=limit, show=show_file, newest_first=order == "desc")


@router.get("/files/{file_id}", url_name="file")
def retrieve_file(request: StudioRequest, file_id: str) -> dict[str, Any]:
    if run := _results(request, file_id):
        return results.show(run)
    return show_file(find_file(request, file_id))


@router.delete("/files/{file_id}", url_name="file")
def delete_file(request: StudioRequest, file_id: str) -> dict[str, Any]:
    """The bytes go; data sets made from them, and what runs remember of them, stay."""
    file = find_file(request, file_id)
    with transaction.atomic():
        StoredFile.objects.select_for_update().get(pk=file.pk)
        if file.imports.exclude(state__in=FINAL).exists():
            raise Refused(
                409,
                "The file is being read for a data set or a fine-tune. Wait for that to end, or cancel it.",
                code="file_in_use",
            )
        FineTune.objects.filter(training_file=file).update(training_file=None)
        FineTune.objects.filter(validation_file=file).update(validation_file=None)
        path = file.path
        file.delete()
        transaction.on_commit(lambda: path.unlink(missing_ok=True))
    return {"id": file_id, "object": "file", "deleted": True}


@router.get("/files/{file_id}/content", url_name="file_content")
def retrieve_content(request: StudioRequest, file_id: str) -> HttpResponseBase:
    if run := _results(request, file_id):
        return HttpResponse(results.csv_text(run), content_type="text/csv; charset=utf-8")
    file = find_file(request, file_id)
    if not file.path.exists():
        raise Refused(404, f"The content of {file_id} is gone from this server's disk.", code="not_found")
    return StreamingHttpResponse(
        _bytes_of(file.path),
        content_type="application/octet-stream",
        headers={
            "Content-Length": str(file.bytes),
            "Content-Disposition": 'attachment; filename="content"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def find_file(request: StudioRequest, file_id: str, param: str | None = None) -> StoredFile:
    return named(_uploads(request), "file-", file_id, what="File object", param=param)


def _uploads(request: StudioRequest) -> QuerySet[StoredFile]:
    """Files of conversations are not among them: those come and go with their messages."""
    return StoredFile.objects.filter(team=request.team).exclude(purpose=StoredFile.ATTACHED)


def _results(request: StudioRequest, file_id: str) -> FineTune | None:
    """The run whose metrics this id names, if it is one."""
    if not file_id.startswith(results.PREFIX):
        return None
    run: FineTune = named(FineTune.objects.for_team(request.team), results.PREFIX, file_id, what="File object")
    return run


async def _bytes_of(path: Path) -> AsyncIterator[bytes]:
    """Piece by piece: Django would read a whole synchronous file into memory before sending it asynchronously."""
    file: BinaryIO = await sync_to_async(lambda: path.open("rb"))()
    try:
        while chunk := await sync_to_async(file.read)(CHUNK):
            yield chunk
    finally:
        file.close()


def show_file(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.key,
        "object": "file",
        "bytes": file.bytes,
        "created_at": seconds(file.created_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }
