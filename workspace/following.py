"""The replies that one tab follows: a task for each tells its frames, until it ends or is let go.

It does not know whose they are: workspace/consumers.py has looked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from workspace import streams


class Following:
    """Things by name, as in `"generation:…" in following`."""

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._send = send
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, thing: str) -> bool:
        return thing in self._tasks

    async def start(self, generation: UUID, after: int) -> None:
        """From the frame behind the number `after`; again, if it was followed already."""
        thing = f"generation:{generation}"
        await self.stop(thing)
        self._tasks[thing] = asyncio.create_task(self._tell(thing, generation, max(after, 0)))

    async def _tell(self, thing: str, generation: UUID, after: int) -> None:
        try:
            async with contextlib.aclosing(streams.frames(generation, after)) as frames:
                async for frame in frames:
                    await self._send(frame)
        finally:
            self._tasks.pop(thing, None)

    async def stop(self, *things: str) -> None:
        tasks = going = {task for thing in things if (task := self._tasks.pop(thing, None))}
        while going:  # a cancellation that comes while a query runs can be lost
            for task in going:
                task.cancel()
            _, going = await asyncio.wait(going, timeout=0.1)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop_all(self) -> None:
        await self.stop(*self._tasks)
