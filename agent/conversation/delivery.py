"""An answer's way to the platform: shown while it grows, finished once it is stored, closed
once it arrived.
"""

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
"""A platform call that shows an unfinished answer may take this long before the final one
goes ahead.
"""

SHOW_AGAIN_SECONDS = 1.5
"""When the model pauses, the platform is shown the same text again: it may have skipped it,
or typing may end.
"""

TRIES = 4
FIRST_PAUSE = 0.5
GIVE_UP = 10
"""An answer that ten instances in turn could not deliver is set aside."""

RECORD_PAUSE = 0.5
"""Seconds until it is tried again to record how a delivery ended."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs work that nobody waits for, to its end."""

log = structlog.get_logger()


class DraftDisplay:
    """Shows an answer as it grows: the newest text whenever the platform is ready, never
    slowing the model.
    """

    def __init__(
        self,
        reply: Reply,
        placed: Callable[[Placed], object],
        *,
        ours: Callable[[], bool],
    ) -> None:
        self._reply = reply
        self._ours = (
            ours  # nothing is shown while it may be another instance's turn to speak
        )
        self._placed = placed  # told where the answer stands, each time that changes
        self._text: Callable[[], str] = str
        self._grown = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._run())
        self.grow(str)

    def grow(self, text: Callable[[], str]) -> None:
        """There is more to show; `text` is asked for when the platform is ready."""
        self._text = text
        self._grown.set()

    async def close(self) -> None:
        """Shows nothing more. A call under way is waited for: it may be placing the message
        to be edited.
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
            if not self._ours():
                continue
            try:
                placed = await self._reply.show(self._text())
            except DeliveryError as error:
                log.info(
                    "not shown", reason=error.sentence
                )  # the finished answer will be
            else:
                if placed is not None and placed != last:
                    last = placed
                    self._placed(placed)


class DeliveryRecorder:
    """Records how deliveries ended, for as long as that takes: who forgets that an answer
    arrived sends it again.
    """

    def __init__(self, deliveries: Deliveries, later: Spawn) -> None:
        self._deliveries = deliveries
        self._later = later
        self.lead_turns: set[UUID] = (
            set()
        )  # turns that lead what ended and is not recorded yet

    def record(
        self, turns: Sequence[UUID], placed: Placed | None, *, failed: str | None = None
    ) -> None:
        """Closes the turns, in a moment."""
        self.lead_turns.add(turns[-1])
        self._later(self._record(turns, placed, failed))

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
    endings: DeliveryRecorder,
    reply: Reply,
    turns: Sequence[UUID],
    text: str,
    *,
    channel: str,
    attempts: int = 0,
    failed: str | None = None,
) -> None:
    """Sends a stored answer; returns when it arrived. That its turns are closed then is
    recorded later.

    When the platform does not take it, the turns stay open: whoever sweeps next tries
    again. `failed` closes them as failed even though this text, which says so, arrived.
    """
    try:
        placed = await _finish(reply, text, channel)
    except Undeliverable as error:
        metrics.delivery_ended(channel, len(turns), arrived=False, closed_as="failed")
        endings.record(turns, None, failed=error.sentence)
    except (
        Exception
    ) as error:  # a channel's mistake, too: for ever met again it would never end
        reason, given_up = _reason(error, attempts), attempts >= GIVE_UP
        metrics.delivery_ended(
            channel, len(turns), arrived=False, closed_as="failed" if given_up else None
        )
        if given_up:
            endings.record(turns, None, failed=reason)
    else:
        metrics.delivery_ended(
            channel, len(turns), arrived=True, closed_as="failed" if failed else "done"
        )
        log.info("delivered", messages=len(placed.ids))
        endings.record(turns, placed, failed=failed)


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
