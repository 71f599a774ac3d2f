"""What does an open tab cost the web process that does nothing but listen?

    python -m bench.idle_sockets [--sockets 2000] [--seconds 20]

The whole stack, signed-in people of ten teams, many tabs each; every socket has been greeted, has said on which page it is,
and then only hears the heartbeat. Counted is what the web process has more in memory than with 50 such tabs, for each
further one, and its processor time. Peer: a bare uvicorn websocket echo at uvicorn's own settings, in the same run, each
of whose sockets has echoed once. The promise is at most 100 KiB for each of ours.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import ROOT, Claim, options, report, versions
from bench._cast import cast
from bench._sockets import TEXT, Socket, connect
from bench._streams import processor_seconds
from tests.processes import using
from tests.stack import free_port, running

FIRST = 50  # sockets before counting begins: what is loaded once is loaded then
TEAMS, PEOPLE = 10, 100
AT_ONCE = 20  # handshakes
PATIENCE = 180


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(f"Process {pid} has ended.")


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The bare peer."""
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            return


class Tabs:
    """A crowd of sockets; `greet` is what each says first, `settled` the frame after which it is idle."""

    def __init__(self, port: int, paths: list[tuple[str, str]], hello: str, settled: str) -> None:
        self.port, self.paths, self.hello, self.settled = port, paths, hello, settled
        self.sockets: list[Socket] = []
        self.ready: set[Socket] = set()
        self.frames = 0

    def hear(self, socket: Socket, text: str) -> None:
        self.frames += 1
        if self.settled in text:
            self.ready.add(socket)

    async def open(self, number: int) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(index: int) -> None:
            path, session = self.paths[index % len(self.paths)]
            async with gate:
                socket = await connect(self.port, path, self.hear, session=session)
                self.sockets.append(socket)
                socket.write(TEXT, self.hello.encode())

        await asyncio.gather(*(one(len(self.sockets) + more) for more in range(number - len(self.sockets))))
        deadline = time.monotonic() + PATIENCE
        while len(self.ready) < number:
            if lost := [socket for socket in self.sockets if socket.closed.done()]:
                raise SystemExit(f"{len(lost)} sockets were closed, with {lost[0].closed.result()}.")
            if time.monotonic() > deadline:
                raise SystemExit(f"Only {len(self.ready)} of {number} sockets were ready after {PATIENCE} s.")
            await asyncio.sleep(0.2)

    async def measure(self, pid: int, number: int, seconds: float) -> dict[str, float]:
        await self.open(FIRST)
        await asyncio.sleep(2)
        before = resident(pid)
        began = time.monotonic()
        await self.open(number)
        opened = time.monotonic() - began
        self.frames, busy, began = 0, processor_seconds([pid]), time.monotonic()
        await asyncio.sleep(seconds)
        share = (processor_seconds([pid]) - busy) / (time.monotonic() - began)
        kib = (resident(pid) - before) / (number - FIRST)
        lost = sum(socket.closed.done() for socket in self.sockets)
        found = {"kib": kib, "cores": share, "opened_in_s": opened, "frames": self.frames, "lost": lost}
        for socket in self.sockets:
            socket.transport.close()
        return found


def web_process(pids: dict[int, str]) -> int:
    return next(pid for pid, command in pids.items() if "uvicorn" in command)


def main() -> None:
    given = options(__doc__, sockets=2000, seconds=20.0)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most[1] < given.sockets + 500:
        raise SystemExit(f"This needs {given.sockets + 500} open files; the limit is {most[1]} (ulimit -n).")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most[1], most[1]))
    with running() as stack:
        people = cast(stack, people=PEOPLE, teams=TEAMS)
        paths = [(f"/ws/{person.team}/", person.session) for person in people]
        page = json.dumps({"v": 1, "type": "subscribe", "to": "page:prompts"})
        tabs = Tabs(stack.port, paths, page, '"presence"')
        ours = asyncio.run(tabs.measure(web_process(using(stack.home)), given.sockets, given.seconds))
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "bench.idle_sockets:echo",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    bare = subprocess.Popen([*command, "--lifespan", "off"], cwd=ROOT)
    try:
        while not _answers(port):
            time.sleep(0.1)
        peer = asyncio.run(Tabs(port, [("/", "")], "hello", "hello").measure(bare.pid, given.sockets, 2.0))
    finally:
        bare.terminate()
        bare.wait(10)
    name = f"{given.sockets:,} idle sockets"
    claims = [
        Claim(f"memory of each of {name}", "KiB", [ours["kib"]], at_most=100),
        Claim("the same against a bare echo", "KiB", [ours["kib"]], "uvicorn websocket echo", [peer["kib"]]),
        Claim(f"processor for {name}", "cores", [ours["cores"]]),
        Claim("sockets lost", "", [float(ours["lost"])], at_most=0),
    ]
    report(claims, {"ours": ours, "peer": peer, "versions": versions("uvicorn", "websockets", "channels")}, given.out)


def _answers(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
