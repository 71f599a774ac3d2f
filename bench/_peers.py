"""Peers of the benches over HTTP: servers that send the same bytes (the file `BENCH_ANSWER`) and look nothing up."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.stack import ROOT, free_port


def bare() -> Any:
    """uvicorn alone."""
    answer = Path(os.environ["BENCH_ANSWER"]).read_bytes()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def bare_django() -> Any:
    """Django with one asynchronous view and nothing else."""
    import django
    from django.conf import settings
    from django.core.handlers.asgi import ASGIHandler
    from django.http import HttpResponse
    from django.urls import path

    answer = Path(os.environ["BENCH_ANSWER"]).read_bytes()

    async def view(request: Any) -> HttpResponse:
        return HttpResponse(answer, content_type="application/json", headers={"Content-Length": str(len(answer))})

    settings.configure(ROOT_URLCONF=(path("answer", view),), MIDDLEWARE=[], ALLOWED_HOSTS=["127.0.0.1"])
    django.setup(set_prefix=False)
    return ASGIHandler()


@contextmanager
def peer(name: str, answer: bytes) -> Iterator[int]:
    """The port of the peer of this name, which sends `answer` at /answer."""
    port = free_port()
    uvicorn = ["uvicorn", "--log-level", "warning", "--no-access-log", "--lifespan", "off", "--port", str(port)]
    with tempfile.NamedTemporaryFile() as file:
        file.write(answer)
        file.flush()
        command = [sys.executable, "-m", *uvicorn, "--factory", f"bench._peers:{name}"]
        with server(command, port, {**os.environ, "BENCH_ANSWER": file.name}):
            yield port


@contextmanager
def server(command: list[str], port: int, env: dict[str, str]) -> Iterator[None]:
    """A process that listens on `port`, from its first answered connection to the end of the block."""
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                asyncio.run(asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 1))
                break
            except (OSError, TimeoutError):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command} did not start") from None
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)
