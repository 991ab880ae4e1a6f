"""An answer's way to the platform: shown while it grows, finished once it is stored, closed once it arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from agent.errors import DeliveryError, StoreUnavailable, Undeliverable
from agent.models import Placed
from agent.ports import Deliveries, Reply

SHOW_SECONDS = 15.0
"""A platform call that shows an unfinished answer may take this long before the final one goes ahead."""

TRIES = 4
FIRST_PAUSE = 0.5
GIVE_UP = 10
"""An answer that ten instances in turn could not deliver is set aside."""

log = structlog.get_logger()


class Display:
    """Shows an answer as it grows: the newest text whenever the platform is ready, never slowing the model."""

    def __init__(self, reply: Reply, placed: Callable[[Placed], Awaitable[None]]) -> None:
        self._reply = reply
        self._record = placed
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
        """Shows nothing more. A call under way is waited for: it may be placing the message to be edited."""
        self._closed = True
        self._grown.set()
        await asyncio.wait({self._task}, timeout=SHOW_SECONDS)
        if not self._task.cancel() and (error := self._task.exception()) is not None:
            log.error("display failed", error=type(error).__name__, exc_info=error)

    async def _run(self) -> None:
        last: Placed | None = None
        while True:
            await self._grown.wait()
            self._grown.clear()
            if self._closed:
                return
            try:
                placed = await self._reply.show(self._text())
                if placed is not None and placed != last:
                    last = placed
                    await self._record(placed)
            except (DeliveryError, StoreUnavailable) as error:
                log.info("not shown", reason=error.sentence)  # the finished answer will be


async def deliver(
    deliveries: Deliveries,
    reply: Reply,
    turns: Sequence[UUID],
    text: str,
    *,
    attempts: int = 0,
    failed: str | None = None,
) -> None:
    """Sends a stored answer until it arrived, then closes its turns.

    When the platform does not take it, the turns stay open: whoever sweeps next tries again. `failed` closes them
    as failed even though this text, which says so, arrived.
    """
    try:
        placed = await _finish(reply, text)
    except Undeliverable as error:
        await deliveries.done(turns, None, failed=error.sentence)
    except DeliveryError as error:
        log.warning("not delivered", reason=error.sentence, attempts=attempts)
        if attempts >= GIVE_UP:
            await deliveries.done(turns, None, failed=error.sentence)
    else:
        await deliveries.done(turns, placed, failed=failed)


async def _finish(reply: Reply, text: str) -> Placed:
    for attempt in range(TRIES):
        try:
            return await reply.finish(text)
        except Undeliverable:
            raise
        except DeliveryError:
            if attempt == TRIES - 1:
                raise
            await asyncio.sleep(FIRST_PAUSE * 2**attempt)
    raise AssertionError("unreachable")
