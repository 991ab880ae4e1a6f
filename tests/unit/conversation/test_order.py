"""Someone who waits for an answer of this process goes on as soon as it is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from agent.conversation.delivery import order as module
from agent.conversation.delivery.order import AnswerOrder

FIRST_LOOK = 0.01
TOO_LONG = 30.0
"""Seconds until the second look: a wake-up that is lost costs at least that."""


class Turns:
    """Postgres, which knows of no end yet. Implements agent.ports.OpenTurns."""

    def __init__(self) -> None:
        self.looks = 0
        self.meanwhile: Callable[[], None] = lambda: None
        self.still_open = True

    async def is_open(self, turn: UUID) -> bool:
        self.looks += 1
        self.meanwhile()

        return self.still_open


@pytest.fixture(autouse=True)
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_LOOK", FIRST_LOOK)
    monkeypatch.setattr(module, "LONGEST_LOOK", TOO_LONG)
    monkeypatch.setattr(module, "min", lambda *_: TOO_LONG, raising=False)


async def test_an_answer_that_is_settled_during_a_look_is_not_waited_for() -> None:
    turns, turn = Turns(), uuid4()
    order = AnswerOrder(turns, limit_seconds=60)
    turns.meanwhile = lambda: order.settle(turn)

    async with asyncio.timeout(5):
        await order.wait_for(turn)

    assert 1 == turns.looks


async def test_each_of_those_who_wait_for_an_answer_is_woken() -> None:
    """The first look of one must not take the event of the others away."""
    turns, turn = Turns(), uuid4()
    order = AnswerOrder(turns, limit_seconds=60)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(order.wait_for(turn))
            await asyncio.sleep(FIRST_LOOK / 2)
        while turns.looks < 3:
            await asyncio.sleep(FIRST_LOOK)
        order.settle(turn)


async def test_what_one_learns_from_postgres_wakes_the_others() -> None:
    turns, turn = Turns(), uuid4()
    order = AnswerOrder(turns, limit_seconds=60)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(order.wait_for(turn))
        while not turns.looks:
            await asyncio.sleep(FIRST_LOOK)
        turns.still_open = False
        group.create_task(order.wait_for(turn))


async def test_nothing_is_kept_of_an_answer_that_nobody_waits_for() -> None:
    turns, turn = Turns(), uuid4()
    order = AnswerOrder(turns, limit_seconds=60)
    waiting = asyncio.create_task(order.wait_for(turn))
    await asyncio.sleep(FIRST_LOOK / 2)
    waiting.cancel()
    await asyncio.wait({waiting})
    del waiting

    assert not order._waited_for
