"""An answer's way to the platform: shown as it grows, sent once stored, closed once it arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog

from agent import metrics
from agent.core.errors import DeliveryError, StoreUnavailable, Undeliverable
from agent.core.messages import Placed
from agent.ports import Deliveries, Reply

SHOW_SECONDS = 15.0
"""How long a call that shows a draft may delay the finished answer."""

SHOW_AGAIN_SECONDS = 1.5
"""When the model pauses, the same text is shown again after this long: the platform may have
skipped it, or its typing indicator may end.
"""

TRIES = 4
"""How often one delivery sends an answer."""

FIRST_PAUSE = 0.5
"""Seconds between the first two tries; doubled after each."""

GIVE_UP = 10
"""An answer that this many instances could not deliver is set aside."""

RECORD_PAUSE = 0.5
"""Seconds until recording the end of a delivery is tried again."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs work that nobody waits for, to its end."""

log = structlog.get_logger()


class DraftDisplay:
    """Shows an answer as it grows: its newest text whenever the platform is ready.

    It never slows the model.
    """

    def __init__(
        self,
        reply: Reply,
        on_placed: Callable[[Placed], object],
        *,
        is_ours: Callable[[], bool],
    ) -> None:
        """`on_placed` is called each time the place of the answer changes.

        Nothing is shown while `is_ours` is false: another instance may be answering.
        """
        self._reply = reply
        self._on_placed = on_placed
        self._is_ours = is_ours
        self._text: Callable[[], str] = str
        self._grown = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._run())
        self.grow(str)

    def grow(self, text: Callable[[], str]) -> None:
        """There is more to show; `text` is called when the platform is ready."""
        self._text = text
        self._grown.set()

    async def close(self) -> None:
        """Shows nothing more.

        Waits for a call in progress: it may be placing the message that is to be edited.
        """
        self._closed = True
        self._grown.set()
        await asyncio.wait({self._task}, timeout=SHOW_SECONDS)
        if not self._task.cancel() and (error := self._task.exception()) is not None:
            log.error("display failed", error=type(error).__name__, exc_info=error)

    async def _run(self) -> None:
        last: Placed | None = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SHOW_AGAIN_SECONDS):
                    await self._grown.wait()
            self._grown.clear()

            if self._closed:
                return
            if self._is_ours():
                last = await self._show(last)

    async def _show(self, last: Placed | None) -> Placed | None:
        try:
            placed = await self._reply.show(self._text())
        except DeliveryError as error:
            # Only a draft: the finished answer is retried.
            log.info("not shown", reason=error.sentence)
            return last

        if placed is None or placed == last:
            return last

        self._on_placed(placed)
        return placed


class DeliveryRecorder:
    """Records how deliveries ended.

    Retries until recorded; otherwise the answer would be sent twice.
    """

    def __init__(self, deliveries: Deliveries, spawn: Spawn) -> None:
        self._deliveries = deliveries
        self._spawn = spawn
        self.lead_turns: set[UUID] = set()
        """Turns that lead deliveries that ended and are not recorded yet."""

    def record(
        self,
        turns: Sequence[UUID],
        placed: Placed | None,
        *,
        failed: str | None = None,
    ) -> None:
        """Closes the turns in the background. See `agent.ports.Deliveries.done`."""
        self.lead_turns.add(turns[-1])
        self._spawn(self._record(turns, placed, failed))

    async def _record(
        self, turns: Sequence[UUID], placed: Placed | None, failed: str | None
    ) -> None:
        try:
            while True:
                with suppress(StoreUnavailable):
                    await self._deliveries.done(turns, placed, failed=failed)
                    return

                await asyncio.sleep(RECORD_PAUSE)
        finally:
            self.lead_turns.discard(turns[-1])


async def deliver(
    recorder: DeliveryRecorder,
    reply: Reply,
    turns: Sequence[UUID],
    text: str,
    *,
    channel: str,
    attempts: int = 0,
    failed: str | None = None,
) -> None:
    """Sends a stored answer, and returns once it arrived; its turns are closed soon after.

    If the platform does not take it, the turns stay open for the next sweep. `failed` closes
    them as failed even if this text, which says so, arrived.
    """
    try:
        placed = await _finish(reply, text, channel)
    except Undeliverable as error:
        metrics.delivery_ended(channel, len(turns), arrived=False, closed_as="failed")
        recorder.record(turns, None, failed=error.sentence)
    except Exception as error:
        # Even a mistake of the channel's: unhandled, it would be met again forever.
        reason, gives_up = _reason(error, attempts), attempts >= GIVE_UP
        state = "failed" if gives_up else None
        metrics.delivery_ended(channel, len(turns), arrived=False, closed_as=state)
        if gives_up:
            recorder.record(turns, None, failed=reason)
    else:
        state = "failed" if failed else "done"
        metrics.delivery_ended(channel, len(turns), arrived=True, closed_as=state)
        log.info("delivered", messages=len(placed.ids))
        recorder.record(turns, placed, failed=failed)


def _reason(error: Exception, attempts: int) -> str:
    """Why an answer did not arrive; logged."""
    if isinstance(error, DeliveryError):
        log.warning("not delivered", reason=error.sentence, attempts=attempts)
        return error.sentence

    name = type(error).__name__
    log.error("not delivered", error=name, attempts=attempts, exc_info=error)

    return f"The answer could not be sent ({name}). The log says where that happened."


async def _finish(reply: Reply, text: str, channel: str) -> Placed:
    for attempt in range(TRIES):
        try:
            return await reply.finish(text)
        except Undeliverable:
            raise
        except DeliveryError:
            if attempt == TRIES - 1:
                raise

            metrics.delivery_retries.add(channel)
            await asyncio.sleep(FIRST_PAUSE * 2**attempt)

    raise AssertionError("unreachable")
