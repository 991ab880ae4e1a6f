"""Work in the background ends, whatever it does with its cancellation."""

from __future__ import annotations

import asyncio

import pytest

from agent.core import background
from agent.core.background import end, run_in_background, to_its_end


async def swallow(times: int, cancelled: list[int]) -> None:
    """Goes on after so many cancellations, as a client does that takes one for its own."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            if len(cancelled) > times:
                raise


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_loop_that_swallows_its_cancellation_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(background, "CANCEL_AGAIN_SECONDS", 0.01)
    cancelled: list[int] = []
    async with asyncio.timeout(10), run_in_background(swallow, times, cancelled):
        await asyncio.sleep(0)

    assert times + 1 == len(cancelled)


async def test_what_runs_inside_of_what_is_cancelled_again_ends_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "CANCEL_AGAIN_SECONDS", 0.01)
    cancelled: list[int] = []

    async def outer() -> None:
        async with run_in_background(swallow, 1, cancelled):
            await asyncio.sleep(60)

    async with asyncio.timeout(10), run_in_background(outer):
        await asyncio.sleep(0.005)

    assert {asyncio.current_task()} == asyncio.all_tasks()


async def test_what_takes_a_moment_to_end_is_not_cancelled_twice() -> None:
    ended: list[str] = []

    async def tidies() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            ended.append("tidied")

    tasks = [asyncio.create_task(tidies()) for _ in range(3)]
    await asyncio.sleep(0)
    await end(tasks)

    assert ["tidied"] * 3 == ended


async def test_what_must_end_by_itself_is_not_cut_short() -> None:
    ended: list[str] = []

    async def tidies() -> None:
        await asyncio.sleep(0.05)
        ended.append("tidied")

    task = asyncio.create_task(to_its_end(tidies()))
    for _ in range(3):
        await asyncio.sleep(0.001)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ["tidied"] == ended


async def test_what_must_end_by_itself_tells_its_error() -> None:
    async def fails() -> None:
        raise LookupError("what it is")

    with pytest.raises(LookupError, match="what it is"):
        await to_its_end(fails())


async def test_there_may_be_nothing_to_end() -> None:
    await end([])
