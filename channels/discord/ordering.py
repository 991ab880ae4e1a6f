"""Order within a chat: its jobs run one after the other, chats side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

Job = Callable[[], Awaitable[None]]

log = structlog.get_logger()


class ChatQueues:
    """A lane for each chat that has something to do. A job that fails breaks only itself.

    A lane holds at most `depth` jobs. When more come, they and all that follow are not
    kept; `catch_up(chat)` is called when the lane has drained, and fetches them.
    """

    def __init__(
        self, catch_up: Callable[[str], Awaitable[None]], *, depth: int = 200
    ) -> None:
        self._catch_up = catch_up
        self._depth = depth
        self._lanes: dict[str, deque[Job]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._behind: set[str] = set()
        self._open = asyncio.Event()
        self._open.set()

    def put(self, chat: str, job: Job) -> None:
        """After everything that waits in this chat."""
        lane = self._lane(chat)
        if chat in self._behind or len(lane) >= self._depth:
            self._behind.add(chat)
        else:
            lane.append(job)

    def put_first(self, chat: str, job: Job) -> None:
        """Before everything that waits in this chat."""
        self._lane(chat).appendleft(job)

    def hold(self) -> None:
        """No further job starts until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Jobs go on."""
        self._open.set()

    async def close(self) -> None:
        """Ends what runs. What was not accepted is fetched at the next start."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _lane(self, chat: str) -> deque[Job]:
        if chat not in self._lanes:
            lane = self._lanes[chat] = deque()
            worker = asyncio.create_task(self._work(chat, lane))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return self._lanes[chat]

    async def _work(self, chat: str, lane: deque[Job]) -> None:
        try:
            while True:
                await self._open.wait()
                if lane:
                    await self._run(lane.popleft())
                elif chat in self._behind:
                    self._behind.discard(chat)
                    await self._catch_up(chat)
                else:
                    return
        finally:
            del self._lanes[chat]
            self._behind.discard(chat)

    async def _run(self, job: Job) -> None:
        try:
            await job()
        except (
            Exception
        ) as error:  # whatever one event brought, the chat's others still count
            log.warning("discord event not taken in", error=type(error).__name__)
