"""One task accepts, answers and writes: what ends the writing does not end the task."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from agent.conversation.active_answer import ActiveAnswer, CancelReason
from agent.core.turns import Claim

CONVERSATION, FENCE = UUID(int=1), UUID(int=2)
KEY = ("test", "ada", "")


@pytest.fixture
def active() -> ActiveAnswer:
    return ActiveAnswer(Claim(CONVERSATION, FENCE, KEY), CONVERSATION, KEY)


async def write(active: ActiveAnswer, goes_on: list[bool]) -> str:
    """What answering does around a model that never ends."""
    active.begin_writing()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass
    finally:
        goes_on.append(active.end_writing())

    if not goes_on[-1]:
        raise asyncio.CancelledError

    async with asyncio.timeout(5):  # what comes next may wait, and is not cut
        await asyncio.sleep(0)

    return "stored"


@pytest.mark.parametrize(
    "reasons",
    [
        [CancelReason.STOPPED],
        [CancelReason.INTERRUPTED, CancelReason.STOPPED],
        [CancelReason.STOPPED, CancelReason.LEASE_LOST],
    ],
)
async def test_a_reason_ends_the_writing_and_the_task_goes_on(
    active: ActiveAnswer, reasons: list[CancelReason]
) -> None:
    goes_on = list[bool]()
    task = asyncio.create_task(write(active, goes_on))
    await asyncio.sleep(0)
    for reason in reasons:
        active.cancel(reason)

    assert await task == "stored"
    assert (goes_on, active.writer, task.cancelling()) == ([True], None, 0)
    assert active.cancel_reason is reasons[-1]


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_task_that_is_told_to_end_ends_whatever_else_ends_its_writing(
    active: ActiveAnswer, is_first: bool
) -> None:
    goes_on = list[bool]()
    task = asyncio.create_task(write(active, goes_on))
    await asyncio.sleep(0)
    if is_first:
        task.cancel()
    active.cancel(CancelReason.STOPPED)
    if not is_first:
        task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert [False] == goes_on


async def test_an_answer_that_is_being_stored_is_not_disturbed(
    active: ActiveAnswer,
) -> None:
    active.begin_writing()

    assert active.end_writing()

    active.cancel(CancelReason.STOPPED)
    await asyncio.sleep(0)  # nothing is raised here

    assert active.cancel_reason is CancelReason.STOPPED
