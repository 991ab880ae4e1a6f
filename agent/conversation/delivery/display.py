"""Shows an answer as it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from agent.conversation.delivery.recorder import DeliveryRecorder
from agent.core.errors import DeliveryError, StoreUnavailable
from agent.core.messages import Placed
from agent.ports import Reply

SHOW_SECONDS = 15.0
"""How long a call that shows a draft may delay the finished answer."""

BEGIN_SECONDS = 0.05
"""A model that has answered by then shows no draft, and nobody sees that it was at work."""

SHOW_AGAIN_SECONDS = 1.5
"""When the model pauses, the same text is shown again after this long: the platform may have
skipped it, or its typing indicator may end.
"""

HUNG_SECONDS = 10.0
"""A call that took so long and failed may still be carried out: what the network holds up is
not lost.
"""

LONGEST_HUNG = 2 * SHOW_SECONDS
"""Seconds after which a held-up draft is no longer waited for. Until then the answer's turns
are open, and other instances hold up what comes next in the chat.
"""

log = structlog.get_logger()


class DraftDisplay:
    """Shows an answer as it grows: its newest text whenever the platform is ready.

    It never slows the model. That a draft will stand is durable before it does.
    """

    def __init__(
        self,
        reply: Reply,
        recorder: DeliveryRecorder,
        turns: Sequence[UUID],
        *,
        is_ours: Callable[[], bool],
    ) -> None:
        """Nothing is shown while `is_ours` is false: another instance may be answering."""
        self._reply = reply
        self._recorder = recorder
        self._turns = turns
        self._is_ours = is_ours
        self._text: Callable[[], str] = str
        self._grown: asyncio.Event | None = None
        """There is more to show. None: nothing is shown yet."""
        self._announced = False
        self._closed = False
        self._calls: float | None = None
        """When the call in progress began, on the monotonic clock."""
        self._hung_since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(BEGIN_SECONDS, self._begin)

    @property
    def hung(self) -> float:
        """Seconds since the first call began that hung, at most LONGEST_HUNG; 0.0 if none did."""
        if self._hung_since is None:
            return 0.0

        return min(time.monotonic() - self._hung_since, LONGEST_HUNG)

    def grow(self, text: Callable[[], str]) -> None:
        """There is more to show; `text` is called when the platform is ready."""
        self._text = text
        if self._grown is not None:
            self._grown.set()

    def all_written(self) -> None:
        """The text is complete. What was not shown yet needs no draft."""
        if self._task is None:
            self._timer.cancel()

    async def close(self) -> None:
        """Shows nothing more.

        Waits for a call in progress: it may be placing the message that is to be edited.
        """
        self._closed = True
        self._timer.cancel()
        if (task := self._task) is None or self._grown is None:
            return

        self._grown.set()
        await asyncio.wait({task}, timeout=SHOW_SECONDS)
        self._note_hang()
        if not task.cancel() and (error := task.exception()) is not None:
            log.error("display failed", error=type(error).__name__, exc_info=error)

    def _begin(self) -> None:
        self._grown = asyncio.Event()
        self._grown.set()
        self._task = self._loop.create_task(self._run(self._grown))

    async def _run(self, grown: asyncio.Event) -> None:
        last: Placed | None = None
        while True:
            await grown.wait()
            grown.clear()
            self._timer.cancel()

            if self._closed:
                return
            if self._is_ours():
                last = await self._show(last)
            if not self._closed:
                self._timer = self._loop.call_later(SHOW_AGAIN_SECONDS, grown.set)

    async def _show(self, last: Placed | None) -> Placed | None:
        text = self._text()
        try:
            await self._announce(text)
            self._calls = time.monotonic()
            placed = await self._reply.show(text)
        except Exception as error:
            self._note_hang()
            if not isinstance(error, DeliveryError | StoreUnavailable):
                raise

            # Only a draft: the finished answer is retried.
            log.info("not shown", reason=error.sentence)
            return last
        finally:
            self._calls = None

        # The call may have taken longer than the lease, and written over a finished answer.
        is_late = not self._is_ours()
        if placed is not None and (placed != last or is_late):
            self._recorder.place(self._turns[0], placed, late=is_late)

        return placed or last

    def _note_hang(self) -> None:
        """The call in progress failed, or is not waited for any longer. One that arrived,
        however late, cannot come again.
        """
        began = self._calls
        if began is not None and time.monotonic() - began >= HUNG_SECONDS:
            self._hung_since = self._hung_since or began

    async def _announce(self, text: str) -> None:
        """Records that a draft will stand. A model that answers at once never pays for this."""
        if text and self._reply.drafts_stand and not self._announced:
            await self._recorder.announce(self._turns[0])
            self._announced = True
