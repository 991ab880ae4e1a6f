"""Answers of a chat arrive in the order of their storing, whichever instances write them."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from agent.core.errors import StoreUnavailable
from agent.ports import OpenTurns

FIRST_LOOK = 0.1
"""Seconds until the first look at an answer that another instance delivers. Longer than the
end of a delivery waits for others to be recorded with it.
"""

LONGEST_LOOK = 2.0
"""Seconds between two looks at last; the pause doubles until then."""

REMEMBERED = 10_000
"""Answers settled here that are remembered; the rest is looked up."""

log = structlog.get_logger()


class AnswerOrder:
    """Knows which answers are settled: they arrived, or never will.

    An answer is named by the first turn that it covers. Only an earlier answer of the same
    chat is ever waited for, so nobody waits in a circle.
    """

    def __init__(self, open_turns: OpenTurns, *, limit_seconds: float) -> None:
        """`limit_seconds`: an answer is given up after that, and is not waited for longer."""
        self._open_turns = open_turns
        self._limit_seconds = limit_seconds
        self._settled: dict[UUID, None] = {}
        self._sending: set[UUID] = set()
        # Each is kept by those who wait for it, and gone with the last of them.
        self._waited_for: WeakValueDictionary[UUID, asyncio.Event] = (
            WeakValueDictionary()
        )

    def begin(self, turn: UUID) -> None:
        """This process delivers the answer: it will know when that is settled."""
        self._sending.add(turn)

    def leave(self, turn: UUID) -> None:
        """This process does not deliver it any more; perhaps another one does."""
        self._sending.discard(turn)

    def settle(self, turn: UUID) -> None:
        """The answer arrived, or it is recorded that it never will."""
        self._sending.discard(turn)
        self._remember(turn)

    def is_settled(self, turn: UUID | None) -> bool:
        """Whether there is nothing to wait for, as far as known here. None: no answer."""
        return turn is None or turn in self._settled

    async def wait_for(self, turn: UUID) -> bool:
        """Returns once this answer is settled. False: it was already, as far as known here."""
        if self.is_settled(turn):
            return False

        log.info("waits for the answer before", before=str(turn))
        event = self._waited_for.setdefault(turn, asyncio.Event())
        until = time.monotonic() + self._limit_seconds
        pause = FIRST_LOOK
        while await self._is_open(turn, event, pause) and time.monotonic() < until:
            pause = min(2 * pause, LONGEST_LOOK)

        # also of an answer whose turn was deleted since, or that nobody ever delivers
        self._remember(turn)

        return True

    def _remember(self, turn: UUID) -> None:
        """It is settled: wakes all that wait for it, also those that look at Postgres now."""
        self._settled[turn] = None
        if len(self._settled) > REMEMBERED:
            del self._settled[next(iter(self._settled))]
        if (event := self._waited_for.get(turn)) is not None:
            event.set()

    async def _is_open(
        self, turn: UUID, event: asyncio.Event, seconds: float
    ) -> bool:
        """Whether it is not settled after so many seconds. Postgres tells of other instances."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

        if event.is_set():
            return False
        if turn in self._sending:
            return True
        with suppress(StoreUnavailable):
            return await self._open_turns.is_open(turn)

        return True
