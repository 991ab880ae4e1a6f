"""In a rush, messages come first: they are stored, and acknowledged, while answers to them
begin one at a time.

Without it the work of hundreds of answers stands between a message and its turn on the
event loop. But answers that begin one at a time share no statements and cost twice as much,
so a rush is short, and rare.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

OVERLOAD_THRESHOLD = 64
"""Messages on their way to the store at one moment that make a rush."""

LONGEST_SECONDS = 2.0
"""Then all answers that wait begin."""

REST_SECONDS = 10.0
"""Between two rushes. Who is overloaded for longer needs the shared statements more."""

LOOK_SECONDS = 0.005
"""Between two looks while no answer waits."""


class AdmissionControl:
    """Of one instance. Costs nothing while there is none."""

    def __init__(self) -> None:
        self._arriving = 0
        self._began = -math.inf
        self._line: deque[asyncio.Future[None]] = deque()  # answers that wait
        self._drain_task: asyncio.Task[None] | None = None  # while there is a rush

    @contextmanager
    def ingesting(self) -> Iterator[None]:
        """Around the work of storing one message."""
        self._arriving += 1
        if (
            self._arriving > OVERLOAD_THRESHOLD
            and self._drain_task is None
            and self._now() - self._began > REST_SECONDS
        ):
            self._began = self._now()
            self._drain_task = asyncio.create_task(self._drain())
        try:
            yield
        finally:
            self._arriving -= 1

    async def admit(self) -> None:
        """Returns when an answer may begin: at once, in a rush one at each turn of the
        event loop.
        """
        if self._drain_task is not None:
            place = asyncio.get_running_loop().create_future()
            self._line.append(place)
            await place

    async def _drain(self) -> None:
        """Until nobody waits, and no more messages are on their way than make a rush."""
        while self._line or self._arriving > OVERLOAD_THRESHOLD:
            late = self._now() - self._began > LONGEST_SECONDS
            for _ in range(len(self._line) if late else min(1, len(self._line))):
                place = self._line.popleft()
                if not place.done():
                    place.set_result(None)
            if late and not self._line:
                break
            await asyncio.sleep(0 if self._line else LOOK_SECONDS)
        self._drain_task = None

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
