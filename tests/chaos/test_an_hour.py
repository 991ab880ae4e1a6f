"""A platform is away for an hour, by real clocks, while people go on writing: every answer
arrives in the end, in order, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.chaos.harness.faults import PLATFORMS
from tests.chaos.harness.processes import Nursery
from tests.chaos.harness.run import concluded
from tests.chaos.harness.scenes import all_ask, held
from tests.chaos.harness.world import World, world

HOUR_SECONDS = 3600.0
MESSAGES = 6
"""In each chat while the platforms are away: many answers wait for the one before."""

SETTLE_SECONDS = 300.0

Fault = Callable[[World], None]


def cannot_be_reached(world: World) -> None:
    """Nothing that is called there answers. Events still come where they have a way of their
    own.
    """
    for name in PLATFORMS:
        world.links[name].cut()


def asks_to_wait(world: World) -> None:
    """The next call to each chat is refused, with a Retry-After of an hour."""
    for chat in world.chats:
        chat.driver.limit_chat(chat.place, retry_after=HOUR_SECONDS, times=1)


@pytest.mark.chaos
@pytest.mark.timeout(5000)
@pytest.mark.parametrize("fault", [cannot_be_reached, asks_to_wait])
async def test_every_answer_arrives_after_an_hour(
    nursery: Nursery, fault: Fault
) -> None:
    """Nobody writes after it: nothing but time brings the answers."""
    async with world(nursery) as here:
        async with held(here):
            await all_ask(here, here.chats)
            fault(here)

        for _ in range(MESSAGES):
            await asyncio.sleep(HOUR_SECONDS / MESSAGES)
            for chat in here.chats:
                await here.people.say(chat)

        outcome = await concluded(here, SETTLE_SECONDS)
        assert outcome.faults == {}
