"""An answer's way to the platform: shown as it grows, sent once stored, closed once it arrived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog

from agent import metrics
from agent.core.errors import (
    AnswerRefused,
    DeliveryError,
    NotHere,
    StoreUnavailable,
    Undeliverable,
)
from agent.core.messages import Placed
from agent.core.turns import Undelivered
from agent.ports import Deliveries, Reply

SHOW_SECONDS = 15.0
"""How long a call that shows a draft may delay the finished answer."""

SHOW_AGAIN_SECONDS = 1.5
"""When the model pauses, the same text is shown again after this long: the platform may have
skipped it, or its typing indicator may end.
"""

FIRST_PAUSE = 0.5
"""Seconds between the first two tries of a delivery; doubled after each."""

LONGEST_PAUSE = 30.0
"""Seconds between two tries while a platform stays away."""

GIVE_UP = 10
"""An answer that its platform refused this often is given up."""

MAX_TAKES = 30
"""An answer over which this many instances ended, well or not, is given up at the next
failure: it may be what kills them.
"""

REMEMBERED_DRAFTS = 10_000
"""Drafts that this process remembers beyond their claims; the oldest are forgotten."""

RECORD_PAUSE = 0.5
"""Seconds until recording the end of a delivery is tried again."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs work that nobody waits for, to its end."""

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
        self._grown = asyncio.Event()
        self._announced = False
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
        text = self._text()
        try:
            await self._announce(text)
            placed = await self._reply.show(text)
        except (DeliveryError, StoreUnavailable) as error:
            # Only a draft: the finished answer is retried.
            log.info("not shown", reason=error.sentence)
            return last

        # The call may have taken longer than the lease, and written over a finished answer.
        is_late = not self._is_ours()
        if placed is not None and (placed != last or is_late):
            self._recorder.place(self._turns[0], placed, late=is_late)

        return placed or last

    async def _announce(self, text: str) -> None:
        """Records that a draft will stand. A model that answers at once never pays for this."""
        if text and self._reply.drafts_stand and not self._announced:
            await self._recorder.announce(self._turns[0])
            self._announced = True


class DeliveryRecorder:
    """Records where answers stand, and how their deliveries ended.

    Retries until recorded: otherwise a draft would be left behind, or an answer sent twice.
    """

    def __init__(self, deliveries: Deliveries, spawn: Spawn) -> None:
        self._deliveries = deliveries
        self._spawn = spawn
        self._drafts: dict[UUID, Placed] = {}
        self.lead_turns: set[UUID] = set()
        """Turns that lead deliveries that ended and are not recorded yet."""

    async def announce(self, turn: UUID) -> None:
        """A draft of the answer that begins with this turn will stand. Durable on return.

        Raises StoreUnavailable.
        """
        await self._deliveries.announce(turn)

    def place(
        self,
        turn: UUID,
        placed: Placed,
        *,
        late: bool = False,
    ) -> None:
        """A draft stands here. It is remembered even when the claim is lost.

        `late`: it may have been written over an answer that another instance finished.
        """
        self._drafts.pop(turn, None)
        self._drafts[turn] = placed
        if len(self._drafts) > REMEMBERED_DRAFTS:
            del self._drafts[next(iter(self._drafts))]
        self._spawn(self._place(turn, late=late))

    def draft(self, turn: UUID, recorded: Placed | None) -> Placed | None:
        """What stands of the answer that begins with this turn: known here, or `recorded`."""
        known = self._drafts.get(turn)
        if known is None or (recorded and not set(recorded.ids) <= set(known.ids)):
            return recorded

        return known

    def record(
        self,
        turns: Sequence[UUID],
        placed: Placed | None,
        *,
        failed: str | None = None,
    ) -> None:
        """Closes the turns in the background. See `agent.ports.Deliveries.done`."""
        self._drafts.pop(turns[0], None)
        self.lead_turns.add(turns[-1])
        self._spawn(self._record(turns, placed, failed))

    async def _place(self, turn: UUID, *, late: bool) -> None:
        while (placed := self._drafts.get(turn)) is not None:
            with suppress(StoreUnavailable):
                pending = replace(placed, pending=True)
                await self._deliveries.placed(turn, pending, late=late)
                return

            await asyncio.sleep(RECORD_PAUSE)

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


class Delivery:
    """Sends stored answers until they arrive, each for as long as that may take.

    What passes is no failure: a platform that is away, or that says "slow down", is waited
    for. Only what a platform refuses about the answer itself is counted.
    """

    def __init__(self, recorder: DeliveryRecorder, *, limit_seconds: float) -> None:
        """An answer older than `limit_seconds` is given up."""
        self._recorder = recorder
        self._limit_seconds = limit_seconds

    async def send(
        self,
        reply: Reply,
        answer: Undelivered,
        *,
        failed: str | None = None,
    ) -> None:
        """Returns once the answer arrived or is given up; its turns are closed soon after.

        `failed` closes them as failed even if this text, which says so, arrived.
        """
        channel, count = answer.address.channel, len(answer.turns)
        try:
            placed = await self._insist(reply, answer)
        except NotHere as error:
            log.info("left to another instance", reason=error.sentence)
        except Exception as error:
            # Even a mistake of the channel's: unhandled, it would be met again forever.
            reason = _reason(error)
            metrics.delivery_ended(channel, count, arrived=False, closed_as="failed")
            self._recorder.record(answer.turns, None, failed=reason)
        else:
            state = "failed" if failed else "done"
            metrics.delivery_ended(channel, count, arrived=True, closed_as=state)
            log.info("delivered", messages=len(placed.ids))
            self._recorder.record(answer.turns, placed, failed=failed)

    async def _insist(self, reply: Reply, answer: Undelivered) -> Placed:
        """Raises what ended the last try, once there is no other."""
        until = time.monotonic() + self._limit_seconds - answer.age_seconds
        refusals, pause = 0, FIRST_PAUSE

        while True:
            try:
                return await reply.finish(answer.text)
            except (NotHere, Undeliverable):
                raise
            except Exception as error:
                refusals += not _is_passing(error)
                is_over = time.monotonic() >= until or answer.attempts > MAX_TAKES
                if is_over or refusals >= GIVE_UP:
                    raise
                _log_failure(error, refusals)

            metrics.delivery_retries.add(answer.address.channel)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _is_passing(error: Exception) -> bool:
    return isinstance(error, DeliveryError) and not isinstance(error, AnswerRefused)


def _log_failure(error: Exception, refusals: int) -> None:
    if isinstance(error, DeliveryError):
        log.warning("not delivered yet", reason=error.sentence, refusals=refusals)
    else:
        name = type(error).__name__
        log.error("not delivered yet", error=name, refusals=refusals, exc_info=error)


def _reason(error: Exception) -> str:
    """Why an answer is given up; logged, and kept in the audit log."""
    if isinstance(error, DeliveryError):
        # a chat that is gone, such as a closed pipe, is no trouble of the agent's
        level = log.info if isinstance(error, Undeliverable) else log.warning
        level("given up", reason=error.sentence)
        return error.sentence

    name = type(error).__name__
    log.error("given up", error=name, exc_info=error)

    return f"The answer could not be sent ({name}). The log says where that happened."
