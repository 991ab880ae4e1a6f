"""Under overload, messages are stored first; their answers then begin one at a time.

Otherwise the work of hundreds of answers would stand between a message and its turn on the
event loop. But answers that begin one at a time share no statements and cost twice as much,
so this mode, a rush, is short and rare.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque

OVERLOAD_THRESHOLD = 256
"""Messages on their way to the store at one moment that start a rush. At 64, people who wrote
in step had rushes all the time and an eighth fewer answers (docs/performance.md).
"""

MAX_RUSH_SECONDS = 2.0
"""Seconds after which all waiting answers begin."""

REST_SECONDS = 10.0
"""Minimum seconds between two rushes: under sustained overload, batching matters more."""

LOOK_SECONDS = 0.005
"""Seconds between two looks while no answer waits."""


class AdmissionControl:
    """Admits answers: at once, or one at a time during a rush.

    As a context, it surrounds the work of storing one message.
    """

    def __init__(self) -> None:
        self._ingesting = 0
        self._began = -math.inf
        self._queue: deque[asyncio.Future[None]] = deque()  # answers that wait
        self._drain_task: asyncio.Task[None] | None = None  # set during a rush

    def __enter__(self) -> None:
        self._ingesting += 1
        if self._is_overloaded():
            self._began = self._now()
            self._drain_task = asyncio.create_task(self._drain())

    def __exit__(self, *_: object) -> None:
        self._ingesting -= 1

    async def admit(self) -> None:
        """Returns when an answer may begin: at once, or in its turn during a rush."""
        if self._drain_task is not None:
            place = asyncio.get_running_loop().create_future()
            self._queue.append(place)
            await place

    def _is_overloaded(self) -> bool:
        return (
            self._ingesting > OVERLOAD_THRESHOLD
            and self._drain_task is None
            and self._now() - self._began > REST_SECONDS
        )

    async def _drain(self) -> None:
        """Admits one answer per turn of the event loop, until the rush is over."""
        while self._queue or self._ingesting > OVERLOAD_THRESHOLD:
            is_late = self._now() - self._began > MAX_RUSH_SECONDS
            self._admit_next(len(self._queue) if is_late else 1)
            if is_late and not self._queue:
                break

            await asyncio.sleep(0 if self._queue else LOOK_SECONDS)

        self._drain_task = None

    def _admit_next(self, count: int) -> None:
        for _ in range(min(count, len(self._queue))):
            place = self._queue.popleft()
            if not place.done():
                place.set_result(None)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
