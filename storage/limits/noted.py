"""What turns note in passing; it is looked at and written beside them."""

from __future__ import annotations

import time

from msgspec import Struct, field

from agent.control.uses import FlagUses

WATCH_SECONDS = 300.0
"""How long a counter is looked at after its last call: calls are settled within that time."""

MAX_COUNTERS = 10_000
"""Counters that one instance looks at. Others are looked at after their next call."""

Counter = tuple[str, str, str]
"""Scope, subject and period."""


class TouchedCounters:
    """Counters of which this instance made calls lately."""

    def __init__(self) -> None:
        self._until: dict[Counter, float] = {}
        self._refused: set[Counter] = set()

    def note(self, counter: Counter, *, refused: bool = False) -> None:
        """`counter` without a scope: a call that was reserved before."""
        is_known = counter in self._until or len(self._until) < MAX_COUNTERS
        if not counter[0] or not is_known:
            return

        self._until[counter] = time.monotonic() + WATCH_SECONDS
        if refused:
            self._refused.add(counter)

    def rows(self) -> list[tuple[str, str, str, bool]]:
        """Those to look at, each with whether a call was refused for it."""
        now = time.monotonic()
        self._until = {each: at for each, at in self._until.items() if at > now}
        self._refused &= self._until.keys()

        return [(*each, each in self._refused) for each in sorted(self._until)]

    def told(self, counter: Counter) -> None:
        """What was refused is told of."""
        self._refused.discard(counter)


class Noted(Struct, frozen=True):
    """All of it, of one instance; see `storage.conversation.upkeep`."""

    uses: FlagUses = field(default_factory=FlagUses)
    touched: TouchedCounters = field(default_factory=TouchedCounters)
