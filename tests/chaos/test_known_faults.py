"""What people see after precise faults on all three platforms: every answer whole, once, in
order, nothing else.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial

import pytest

from tests.chaos.harness.faults import PLATFORMS, lossy
from tests.chaos.harness.link import Link
from tests.chaos.harness.model import POISON
from tests.chaos.harness.people import Chat
from tests.chaos.harness.processes import Nursery
from tests.chaos.harness.run import concluded
from tests.chaos.harness.scenes import all_ask, first_drafts, held, on_each
from tests.chaos.harness.world import World, world

pytestmark = pytest.mark.timeout(240)

HURRIED = ("racing clock", "quick pace")
OUTAGE_SECONDS = 20.0
"""With everything ten times faster, more attempts than in five minutes of a platform's outage."""

LONG = (pytest.mark.chaos, pytest.mark.timeout(3600))
SETTLE_SECONDS = 60.0
DRAFT_SECONDS = 4.0  # until a draft is tried again

BLACK_HOLE_SECONDS = 18.0
"""Longer than an answer waits for the draft before it (15 s)."""


@pytest.mark.parametrize("seconds", [OUTAGE_SECONDS, pytest.param(360.0, marks=LONG)])
async def test_answers_arrive_after_a_platform_was_away_for_long(
    nursery: Nursery, seconds: float
) -> None:
    """Messages were acknowledged, then the platforms could not be reached. The next prompts
    believe what is true.
    """
    async with world(nursery, changes=HURRIED) as here:
        async with held(here):
            await all_ask(here, here.chats)
            for name in PLATFORMS:
                here.links[name].cut()
        await asyncio.sleep(seconds)
        here.heal()
        for chat in here.chats:
            await here.people.say(chat)
        outcome = await concluded(here, SETTLE_SECONDS)
        assert outcome.faults == {}


@pytest.mark.chaos
async def test_answers_arrive_after_a_long_retry_after(nursery: Nursery) -> None:
    """Longer than anything waits for it: no attempt is counted while the penalty is known."""
    async with world(nursery, changes=[*HURRIED, "short deadlines"]) as here:
        async with held(here):
            await all_ask(here, here.chats)
            for chat in here.chats:
                chat.driver.limit_chat(
                    chat.place, retry_after=OUTAGE_SECONDS, times=1
                )
        await asyncio.sleep(OUTAGE_SECONDS)
        outcome = await concluded(here, SETTLE_SECONDS)
        assert outcome.faults == {}


@pytest.mark.parametrize("kills", [1, pytest.param(300, marks=LONG)])
async def test_a_draft_of_a_killed_instance_does_not_stay(
    nursery: Nursery, kills: int
) -> None:
    """`kill -9` when the first draft stands and nobody has recorded where. In direct chats
    another message waits. Once on each platform, or often on all of them together.
    """
    async with world(nursery, changes=["fast clock"]) as here:
        for chats in on_each(here) if kills == 1 else [here.chats] * kills:
            async with held(here):
                await first_drafts(
                    here,
                    chats,
                    twice=[chat for chat in direct(here) if chat in chats],
                )
                here.instances[0].kill()
            await here.settled(SETTLE_SECONDS)
        outcome = await concluded(here, SETTLE_SECONDS)
        assert outcome.faults == {}


@pytest.mark.parametrize("times", [1, pytest.param(50, marks=LONG)])
async def test_a_draft_of_a_frozen_instance_does_not_stay(
    nursery: Nursery, times: int
) -> None:
    """SIGSTOP for longer than a lease: another instance answers, then the first goes on."""
    async with world(nursery, changes=["fast clock"]) as here:
        for number in range(times):
            frozen = here.instances[number % len(here.instances)]
            async with held(here):
                await first_drafts(here, here.chats, twice=direct(here))
                frozen.freeze()
            if number == 0:
                here.machine.add()
            await here.settled(SETTLE_SECONDS)
            frozen.thaw()
            await here.settled(SETTLE_SECONDS)
        outcome = await concluded(here, SETTLE_SECONDS)
        assert outcome.faults == {}


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=LONG)])
async def test_a_draft_survives_nine_seconds_without_postgres(
    nursery: Nursery, times: int
) -> None:
    """The process that posted it lives: it knows where it stands, whatever became of its claim."""
    async with world(nursery, changes=["fast clock"]) as here:
        for _ in range(times):
            async with held(here):
                await first_drafts(here, here.chats, twice=direct(here))
                here.links["postgres"].cut()
            await asyncio.sleep(9.0)
            here.links["postgres"].heal()
            await here.settled(SETTLE_SECONDS)
        outcome = await concluded(here, SETTLE_SECONDS)
        assert outcome.faults == {}


async def test_a_draft_whose_confirmation_was_lost_does_not_stay(
    nursery: Nursery,
) -> None:
    """The platform showed it, and the agent never heard: it is found again, or what follows
    is labelled.
    """
    async with world(nursery, changes=["fast clock"]) as here:
        async with held(here):
            for chat in (chat for chat in here.chats if not chat.place.direct):
                link = here.links[chat.platform]
                before = link.lost
                lossy(1.0, random.Random(1))(link)
                await here.people.say(chat)
                await here.until(partial(lost_since, link, before), SETTLE_SECONDS)
                link.losses = None
            await asyncio.sleep(DRAFT_SECONDS)
        outcome = await concluded(here, SETTLE_SECONDS)
        assert outcome.faults == {}


async def test_a_poison_message_is_set_aside_alone(nursery: Nursery) -> None:
    """Its neighbours, merged with it, are answered; and no later prompt has it again."""
    async with world(nursery, changes=["fast clock"]) as here:
        chat = here.chats[0]
        async with held(here):
            await all_ask(here, [chat])
            await here.people.say(chat)
            await here.people.say(chat, POISON)
            await here.people.say(chat)
        await here.settled(SETTLE_SECONDS)
        deaths = starts(here)
        await here.people.say(chat)
        outcome = await concluded(here, SETTLE_SECONDS)
        assert (outcome.faults, starts(here)) == ({}, deaths)


@pytest.mark.chaos
async def test_a_draft_that_was_held_in_a_black_hole_does_not_replace_the_answer(
    nursery: Nursery,
) -> None:
    """The platform gets the last state of the draft after the answer: TCP keeps no order
    between connections.
    """
    async with world(nursery) as here:
        async with held(here):
            await first_drafts(here, here.chats)
            await asyncio.sleep(1.5)
            for name in PLATFORMS:
                here.links[name].silence()
        await asyncio.sleep(BLACK_HOLE_SECONDS)
        here.heal()
        await asyncio.sleep(BLACK_HOLE_SECONDS)
        outcome = await concluded(here, SETTLE_SECONDS)
        assert outcome.faults == {}


def lost_since(link: Link, before: int) -> bool:
    """Whether another answer of the platform got lost."""
    return link.lost > before


def direct(here: World) -> list[Chat]:
    """The direct chats: a second message waits in them, so that whoever comes next answers
    more than the first did.
    """
    return [chat for chat in here.chats if chat.place.direct]


def starts(here: World) -> int:
    """How often an agent was started."""
    return sum(instance.starts for instance in here.instances)
