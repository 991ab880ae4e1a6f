"""A gate that few pass at once, and where nobody waits for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.core.errors import AgentError


@asynccontextmanager
async def passed(
    gate: asyncio.Semaphore,
    seconds: float,
    busy: AgentError,
) -> AsyncIterator[None]:
    """Inside, one of the gate's places is held. Raises `busy` if none is free within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await gate.acquire()
    except TimeoutError:
        raise busy from None

    try:
        yield
    finally:
        gate.release()
