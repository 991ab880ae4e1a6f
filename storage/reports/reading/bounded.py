"""How many reports a process makes at once, and how long each may take.

Nobody who is in a hurry may take the connections that turns need, nor keep the database busy
after having gone away. The command line waits as long as it takes.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Semaphore
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from agent.core.errors import StoreUnavailable
from storage.connecting.gate import passed

AT_ONCE = 2
"""Reports that a process makes at the same time."""

WAIT_SECONDS = 3.0
"""So long a report waits for its turn."""

DEADLINE = 10.0
"""Seconds that a report may take on a page or for a program."""

BUSY = "Reports are busy: others are being made. Try again in a moment."
LATE = (
    "This report took longer than {seconds:g} s and was stopped. Ask for less time, "
    "or make it on the command line, which waits."
)

_places: WeakKeyDictionary[AbstractEventLoop, Semaphore] = WeakKeyDictionary()


@asynccontextmanager
async def bounded(seconds: float | None) -> AsyncIterator[None]:
    """Inside, one of few reports is made, and cancelled when it takes longer than this.

    None: there is neither a queue nor a deadline. Raises StoreUnavailable.
    """
    if seconds is None:
        yield
        return

    places = _places.setdefault(asyncio.get_running_loop(), Semaphore(AT_ONCE))
    async with passed(places, WAIT_SECONDS, StoreUnavailable(BUSY)):
        try:
            async with asyncio.timeout(seconds) as deadline:
                yield
        except TimeoutError:
            if not deadline.expired():
                raise
            raise StoreUnavailable(LATE.format(seconds=seconds)) from None
