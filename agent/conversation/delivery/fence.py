"""Which deliveries are this instance's own, as its heartbeats tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from uuid import UUID

from agent.core.errors import NotHere

LEASE_TRUST = 0.8
"""Part of a lease without a heartbeat after which nothing is shown or sent: another instance
may soon take over.
"""


class DeliveryFence:
    """Holds back a delivery that another instance may have taken.

    A delivery is named by the turn that leads it. Where no heartbeat arrived for
    `trusted_seconds`, another instance may take it soon: the next one tells.
    """

    def __init__(self, *, trusted_seconds: float) -> None:
        self._trusted_seconds = trusted_seconds
        self._held: dict[UUID, float] = {}
        """When each was last known to be ours, on the monotonic clock."""
        self._taken: set[UUID] = set()
        self._beat = asyncio.Event()

    @property
    def turns(self) -> Collection[UUID]:
        """Turns that lead deliveries under way."""
        return self._held.keys()

    def begin(self, turn: UUID) -> None:
        """The answer was stored or taken just now, unless its delivery is under way already."""
        self._held.setdefault(turn, time.monotonic())

    def end(self, turn: UUID) -> None:
        """It is not being delivered here any more."""
        self._held.pop(turn, None)
        self._taken.discard(turn)

    def renew(
        self, turns: Collection[UUID], taken: Collection[UUID], began: float
    ) -> None:
        """A heartbeat that began then has renewed these; others have `taken` some of them."""
        for turn in self._held.keys() & turns:
            if self._held[turn] >= began:
                continue  # taken back meanwhile
            if turn in taken:
                self._taken.add(turn)
            else:
                self._held[turn] = began

        beat, self._beat = self._beat, asyncio.Event()
        beat.set()

    def is_ours(self, turn: UUID) -> bool:
        """Whether the platform may be called now."""
        return turn not in self._taken and self._is_fresh(turn)

    async def check(self, turn: UUID) -> None:
        """Returns when the platform may be called. Raises NotHere if another instance does it."""
        while turn not in self._taken and not self._is_fresh(turn):
            await self._beat.wait()
        if turn in self._taken:
            raise NotHere("Another instance has taken this answer over.")

    def _is_fresh(self, turn: UUID) -> bool:
        return time.monotonic() - self._held[turn] < self._trusted_seconds
