"""Work of one instance that nobody awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

import structlog

from agent.core.errors import AgentError

T = TypeVar("T")

IN_DOUBT_BEATS = 20
"""So many heartbeats after work ended early we look for what it left: that is found once
its lease is over.
"""

log = structlog.get_logger()


class BackgroundTasks:
    """Runs work to its end. Where it ended early, something may have been stored or left
    without our knowing.
    """

    def __init__(self) -> None:
        self.running: set[asyncio.Task[Any]] = set()
        self._in_doubt = 0  # heartbeats

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        context = (
            copy_context()
        )  # what the work binds to its log lines is true at its end, too
        task = asyncio.create_task(work, context=context)
        self.running.add(task)
        task.add_done_callback(self._ended, context=context)
        return task

    def request_sweep(self) -> None:
        """The next heartbeats look for anything left over."""
        self._in_doubt = IN_DOUBT_BEATS

    def sweep_due(self) -> bool:
        """Whether this heartbeat does; asked once at each."""
        doubted, self._in_doubt = self._in_doubt > 0, max(0, self._in_doubt - 1)
        return doubted

    async def drain(self, seconds: float) -> None:
        """Lets all of it end, for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (
                    self.running
                ):  # each may begin another: what is delivered is then recorded
                    await asyncio.wait(self.running)

    async def cancel(self) -> None:
        """Ends what is left."""
        for task in self.running:
            task.cancel()
        if self.running:
            await asyncio.wait(self.running)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self.request_sweep()
        if isinstance(error, AgentError):
            log.warning("work ended early", reason=error.sentence)
        else:
            log.error("work ended early", error=type(error).__name__, exc_info=error)
