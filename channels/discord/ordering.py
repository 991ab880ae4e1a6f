"""Order within a chat: its jobs run one after the other, chats side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from agent.core.background import end

Job = Callable[[], Awaitable[None]]

log = structlog.get_logger()


class ChatQueues:
    """A queue for each chat that has jobs. A job that fails breaks only itself.

    A queue holds at most `depth` jobs. When more come, they and all later ones are dropped.
    Once the queue has drained, `catch_up(chat)` is called to fetch them.
    """

    def __init__(
        self, catch_up: Callable[[str], Awaitable[None]], *, depth: int = 200
    ) -> None:
        self._catch_up = catch_up
        self._depth = depth
        self._queues: dict[str, deque[Job]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._behind: set[str] = set()
        self._open = asyncio.Event()
        self._open.set()

    def put(self, chat: str, job: Job) -> None:
        """Adds a job at the end of the chat's queue."""
        queue = self._queue(chat)
        if chat in self._behind or len(queue) >= self._depth:
            self._behind.add(chat)
        else:
            queue.append(job)

    def put_first(self, chat: str, job: Job) -> None:
        """Adds a job at the front of the chat's queue."""
        self._queue(chat).appendleft(job)

    def hold(self) -> None:
        """No further job starts until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Jobs start again."""
        self._open.set()

    async def close(self) -> None:
        """Cancels all jobs. Messages that were not accepted are fetched at the next start."""
        await end(self._workers)

    def _queue(self, chat: str) -> deque[Job]:
        if chat not in self._queues:
            queue = self._queues[chat] = deque()
            worker = asyncio.create_task(self._work(chat, queue))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

        return self._queues[chat]

    async def _work(self, chat: str, queue: deque[Job]) -> None:
        try:
            while True:
                await self._open.wait()
                if queue:
                    await self._run(queue.popleft())
                elif chat in self._behind:
                    self._behind.discard(chat)
                    await self._catch_up(chat)
                else:
                    return
        finally:
            del self._queues[chat]
            self._behind.discard(chat)

    async def _run(self, job: Job) -> None:
        try:
            await job()
        except (
            Exception
        ) as error:  # whatever one event brought, the chat's others still count
            log.warning("discord event not taken in", error=type(error).__name__)
