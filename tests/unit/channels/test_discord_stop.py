"""A session of Discord's library ends on cancellation, even if the library misses it once."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from channels.discord.gateway import until_cancelled
from channels.discord.ordering import ChatQueues


async def test_a_cancellation_that_is_swallowed_once_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Work that swallows its first cancellation is cancelled again, and so is its caller."""
    monkeypatch.setattr("channels.discord.gateway.CANCEL_AGAIN", 0.01)
    heard: list[str] = []

    async def deaf_once() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append("first")

        await asyncio.Event().wait()

    task = asyncio.create_task(until_cancelled(deaf_once()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task

    assert ["first"] == heard


async def test_a_job_that_swallows_its_cancellation_does_not_hold_up_a_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its worker would take the next job, and a stop would wait for it."""
    monkeypatch.setattr("agent.core.background.CANCEL_AGAIN_SECONDS", 0.01)
    begun = asyncio.Event()

    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            begun.set()
            await asyncio.Event().wait()

    async def forever() -> None:
        await asyncio.Event().wait()

    async def nothing(_: str) -> None: ...

    queues = ChatQueues(nothing)
    queues.release()
    queues.put("ada", deaf)
    queues.put("ada", forever)
    async with asyncio.timeout(5):
        await begun.wait()
        await queues.close()


async def test_what_ends_by_itself_is_heard() -> None:
    """An error inside comes out as it is."""

    async def fail() -> None:
        raise ConnectionError("away")

    with pytest.raises(ConnectionError):
        await until_cancelled(fail())
