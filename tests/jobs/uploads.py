"""Files as people upload them, stored and imported."""

from __future__ import annotations

import json

from django.core.files.uploadedfile import SimpleUploadedFile

from jobs.datasets import run_import
from jobs.models import Import, StoredFile
from workspace.models import Team


def chat(question: str = "Hello?", answer: str = "Hello.", **extra: object) -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **extra}


def lines(*rows: object) -> bytes:
    return b"".join(
        (row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode()) + b"\n" for row in rows
    )


def stored(team: Team, content: bytes, name: str = "rows.jsonl") -> StoredFile:
    return StoredFile.keep(SimpleUploadedFile(name, content), team=team, author=None)


def imported(team: Team, content: bytes, format: str = "chat", name: str = "rows.jsonl", **fields: object) -> Import:
    """A claimed import, done as the worker does it."""
    Import.objects.create(team=team, file=stored(team, content, name), name="Rows", format=format, **fields)
    (job,) = Import.objects.all().claim("default@test")
    run_import(job)
    job.refresh_from_db()
    return job
