"""Overload: for a while, messages on their way to the store go before answers."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from agent.conversation import admission
from agent.conversation.admission import OVERLOAD_THRESHOLD, AdmissionControl


async def begun(number: int, order: list[int], door: AdmissionControl) -> None:
    await door.admit()
    order.append(number)


async def turns(count: int) -> None:
    """Lets the event loop run this many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_without_a_rush_an_answer_begins_at_once() -> None:
    door = AdmissionControl()
    order = list[int]()

    with ExitStack() as arriving:
        for _ in range(OVERLOAD_THRESHOLD):
            arriving.enter_context(door)
        answers = [
            asyncio.create_task(begun(number, order, door)) for number in range(100)
        ]
        await turns(1)

    assert list(range(100)) == order
    assert all(answer.done() for answer in answers)


async def test_in_a_rush_answers_begin_one_at_each_turn_of_the_loop_in_their_order() -> (
    None
):
    """Also once messages are stored: all answers at once must not hold up the next messages."""
    door = AdmissionControl()
    order = list[int]()
    seen = list[int]()

    with ExitStack() as arriving:
        for _ in range(OVERLOAD_THRESHOLD + 1):
            arriving.enter_context(door)
        answers = [
            asyncio.create_task(begun(number, order, door)) for number in range(20)
        ]

        while not order:
            await asyncio.sleep(0)

    for _ in range(5):
        await turns(1)
        seen.append(len(order))

    await asyncio.gather(*answers)

    assert list(range(20)) == order
    assert [2, 3, 4, 5, 6] == seen


async def test_a_cancelled_answer_does_not_stop_the_line() -> None:
    door = AdmissionControl()
    order = list[int]()

    with ExitStack() as arriving:
        for _ in range(OVERLOAD_THRESHOLD + 1):
            arriving.enter_context(door)
        first, *rest = [
            asyncio.create_task(begun(number, order, door)) for number in range(3)
        ]
        await turns(1)
        first.cancel()
        await asyncio.gather(*rest)

    assert [1, 2] == order[-2:]


async def test_a_rush_ends_by_itself_and_the_next_one_comes_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many messages arrive: answers that begin together share their statements."""
    door = AdmissionControl()
    order = list[int]()
    monkeypatch.setattr(admission, "MAX_RUSH_SECONDS", 0.0)

    with ExitStack() as arriving:
        for _ in range(2 * OVERLOAD_THRESHOLD):
            arriving.enter_context(door)
        await asyncio.gather(*(begun(number, order, door) for number in range(5)))
        await turns(3)
        arriving.enter_context(door)  # no rush again, so soon
        answers = [
            asyncio.create_task(begun(number, order, door))
            for number in range(5, 100)
        ]
        await turns(1)

        assert all(answer.done() for answer in answers)

    assert list(range(100)) == order
