"""A delivery calls its platform only while it is known to be this instance's own."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest

from agent.conversation.delivery.fence import DeliveryFence
from agent.core.errors import NotHere

TURN = uuid4()


def fence(trusted_seconds: float = 60.0) -> DeliveryFence:
    made = DeliveryFence(trusted_seconds=trusted_seconds)
    made.begin(TURN)

    return made


async def test_what_was_stored_or_renewed_just_now_may_be_sent() -> None:
    fresh = fence()
    await fresh.check(TURN)
    fresh.renew([TURN], [], time.monotonic())
    await fresh.check(TURN)


async def test_without_a_heartbeat_the_next_one_is_waited_for() -> None:
    stale = fence(trusted_seconds=0.05)
    await asyncio.sleep(0.1)
    check = asyncio.create_task(stale.check(TURN))
    await asyncio.sleep(0.05)
    waited = not check.done()
    stale.renew([TURN], [], time.monotonic())
    await check

    assert waited


async def test_what_another_instance_took_is_not_sent() -> None:
    stale = fence(trusted_seconds=0.0)
    check = asyncio.create_task(stale.check(TURN))
    await asyncio.sleep(0)
    stale.renew([TURN], [TURN], time.monotonic())

    with pytest.raises(NotHere):
        await check


async def test_what_this_instance_takes_back_does_not_revive_the_delivery_that_lost_it() -> (
    None
):
    """It does not know what the other one placed meanwhile."""
    lost = fence()
    lost.renew([TURN], [TURN], time.monotonic())
    lost.begin(TURN)
    lost.renew([TURN], [], time.monotonic())

    with pytest.raises(NotHere):
        await lost.check(TURN)


async def test_a_heartbeat_from_before_it_was_taken_says_nothing_about_it() -> None:
    began = time.monotonic()
    mine = fence()
    mine.renew([TURN], [TURN], began)

    await mine.check(TURN)
