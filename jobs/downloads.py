"""Sending what is made piece by piece: nothing large is ever whole in the web process's memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

CHUNK = 2**16


def attachment(pieces: Iterator[bytes], filename: str, content_type: str) -> StreamingHttpResponse:
    """A download. Django would gather a synchronous iterator whole before it sent it; this asks for one piece at a time."""

    async def one_by_one() -> AsyncIterator[bytes]:
        following = sync_to_async(lambda: next(pieces, None))
        while (piece := await following()) is not None:
            yield piece

    response = StreamingHttpResponse(one_by_one(), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response


def zipped(folder: Path) -> Iterator[bytes]:
    """The files of a folder as a zip archive under the folder's name, uncompressed (weights do not get smaller)."""
    out = _Pieces()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = Path(folder.name) / path.relative_to(folder)
            with path.open("rb") as source, archive.open(zipfile.ZipInfo.from_file(path, str(name)), "w") as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    yield out.take()
    yield out.take()


class _Pieces(io.RawIOBase):
    """A file that can only be written, and emptied."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.waiting += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self.waiting)
        self.waiting.clear()
        return data
