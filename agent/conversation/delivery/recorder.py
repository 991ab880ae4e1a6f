"""Records where answers stand, and how their deliveries ended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from structlog.contextvars import clear_contextvars

from agent.conversation.delivery.order import AnswerOrder
from agent.core.errors import StoreUnavailable
from agent.core.messages import Placed
from agent.core.turns import Ending
from agent.ports import Deliveries

REMEMBERED_DRAFTS = 10_000
"""Drafts that this process remembers beyond their claims; the oldest are forgotten."""

RECORD_PAUSE = 0.5
"""Seconds until recording the end of a delivery is tried again."""

LINGER_SECONDS = 0.08
"""How long a finished delivery waits for others before it is recorded; nobody awaits that."""

MOST_ENDINGS = 256
"""Deliveries whose ends are recorded at once."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs work that nobody waits for, to its end."""


class DeliveryRecorder:
    """Records where answers stand, and how their deliveries ended.

    Retries until recorded: otherwise a draft would be left behind, or an answer sent twice.
    """

    def __init__(
        self, deliveries: Deliveries, order: AnswerOrder, spawn: Spawn
    ) -> None:
        self._deliveries = deliveries
        self._order = order
        self._spawn = spawn
        self._drafts: dict[UUID, Placed] = {}
        self._ended: deque[Ending] = deque()
        """Answers that are settled, and not recorded as such yet."""
        self._is_closing = False
        self._leaving = asyncio.Event()
        self.lead_turns: set[UUID] = set()
        """Turns that lead deliveries that ended and are not recorded yet."""

    def hurry(self) -> None:
        """This instance leaves: what ends waits for no others any more."""
        self._leaving.set()

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
        if placed is not None or not failed:
            self._order.settle(turns[0])
        if failed:
            self._spawn(self._record(turns, placed, failed))
            return

        self._ended.append((turns, placed))
        if not self._is_closing:
            self._is_closing = True
            self._spawn(self._close())

    def later(
        self,
        turns: Sequence[UUID],
        placed: Placed,
        work: Coroutine[Any, Any, None],
    ) -> None:
        """The answer arrived here; this work in the background closes its turns.

        Until then they stay open. An instance that takes them over edits what stands.
        """
        self.place(turns[0], placed)
        self._order.settle(turns[0])
        self._spawn(work)

    async def _place(self, turn: UUID, *, late: bool) -> None:
        while (placed := self._drafts.get(turn)) is not None:
            with suppress(StoreUnavailable):
                pending = replace(placed, pending=True)
                await self._deliveries.placed(turn, pending, late=late)
                return

            await asyncio.sleep(RECORD_PAUSE)

    async def _close(self) -> None:
        """Records what ended, until nothing is left."""
        clear_contextvars()  # it works for many turns, so its log lines belong to none
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._leaving.wait()

            while self._ended:
                await self._close_all(self._next_endings())
        finally:
            self._is_closing = False

    def _next_endings(self) -> list[Ending]:
        """Those that may share a statement: no turn is among them twice."""
        chosen: list[Ending] = []
        turns: set[UUID] = set()
        while self._ended and len(chosen) < MOST_ENDINGS:
            if not turns.isdisjoint(self._ended[0][0]):
                break
            ending = self._ended.popleft()
            turns.update(ending[0])
            chosen.append(ending)

        return chosen

    async def _close_all(self, endings: Sequence[Ending]) -> None:
        while True:
            try:
                await self._deliveries.done(endings)
            except StoreUnavailable:
                await asyncio.sleep(RECORD_PAUSE)
            except Exception:
                # Each by itself, so that only a bad one fails.
                for turns, placed in endings:
                    self._spawn(self._record(turns, placed, None))
                return
            else:
                break

        self.lead_turns.difference_update([turns[-1] for turns, _ in endings])

    async def _record(
        self, turns: Sequence[UUID], placed: Placed | None, failed: str | None
    ) -> None:
        try:
            while True:
                with suppress(StoreUnavailable):
                    await self._deliveries.done([(turns, placed)], failed=failed)
                    # only now do prompts leave out what never arrived
                    self._order.settle(turns[0])
                    return

                await asyncio.sleep(RECORD_PAUSE)
        finally:
            self.lead_turns.discard(turns[-1])
