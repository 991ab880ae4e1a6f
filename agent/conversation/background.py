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
"""Heartbeats that sweep after some work ended early. What it left is found once its lease
is over, which takes a few of them.
"""

log = structlog.get_logger()


class BackgroundTasks:
    """Runs work to its end.

    Work that ends early may have stored or left something unknown, so it requests a sweep.
    """

    def __init__(self) -> None:
        self.running: set[asyncio.Task[Any]] = set()
        self._in_doubt = 0  # heartbeats

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts this work in the background."""
        # Log values that the work binds are still bound when it ends.
        context = copy_context()
        task = asyncio.create_task(work, context=context)
        self.running.add(task)
        task.add_done_callback(self._ended, context=context)

        return task

    def request_sweep(self) -> None:
        """Makes the next heartbeats sweep."""
        self._in_doubt = IN_DOUBT_BEATS

    def sweep_due(self) -> bool:
        """Whether this heartbeat sweeps. Call it once per heartbeat."""
        is_due = self._in_doubt > 0
        self._in_doubt = max(0, self._in_doubt - 1)

        return is_due

    async def drain(self, seconds: float) -> None:
        """Lets all work finish, for at most this long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # Work may start more work: what is delivered is then recorded.
                while self.running:
                    await asyncio.wait(self.running)

    async def cancel(self, seconds: float) -> None:
        """Cancels the work that remains, and waits for its end at most this long."""
        for task in self.running:
            task.cancel()
        if self.running:
            await asyncio.wait(self.running, timeout=seconds)

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
