"""The checker sees what it is for: agents that are broken on purpose are found out."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.harness.checker import Fault, Verdict
from tests.chaos.harness.processes import Nursery
from tests.chaos.harness.run import concluded
from tests.chaos.harness.scenes import all_ask, first_drafts, held
from tests.chaos.harness.world import world

pytestmark = pytest.mark.timeout(240)

LEASE_OVER_SECONDS = 4.0  # on the fast clock, on which a lease is less than two
RECORDED_SECONDS = (
    1.0  # by then everybody but a mutant has recorded where a draft stands
)


def kinds(verdicts: tuple[Verdict, ...]) -> set[Fault]:
    """Which faults were found."""
    return {verdict.fault for verdict in verdicts}


@pytest.mark.chaos
async def test_an_agent_that_takes_nothing_over_is_found_out(
    nursery: Nursery,
) -> None:
    """Whoever waited for a killed instance waits forever."""
    async with world(nursery, changes=["fast clock", "no take_over"]) as here:
        async with held(here):
            await all_ask(here, here.chats)
            here.instances[0].kill()
        outcome = await concluded(here, 2 * LEASE_OVER_SECONDS)
    assert Fault.UNANSWERED in kinds(outcome.verdicts)


async def test_an_agent_without_a_fence_is_found_out(nursery: Nursery) -> None:
    """An instance that was frozen stores its answer beside the one of who took over."""
    async with world(nursery, changes=["fast clock", "no fence"]) as here:
        first = here.instances[0]
        async with held(here):
            await all_ask(here, here.chats)
            first.freeze()
        here.machine.add()
        await here.settled(20.0)
        first.thaw()
        outcome = await concluded(here)
    assert Fault.DOUBLED_ANSWER in kinds(outcome.verdicts)


@pytest.mark.chaos
@pytest.mark.parametrize("mutation", [["late records"], []], ids=["late", "in time"])
async def test_an_agent_that_records_late_is_found_out(
    nursery: Nursery, mutation: list[str]
) -> None:
    """Killed a second after its drafts stood, when all others have long recorded where."""
    async with world(nursery, changes=["fast clock", *mutation]) as here:
        async with held(here):
            await first_drafts(here, here.chats)
            await asyncio.sleep(RECORDED_SECONDS)
            here.instances[0].kill()
        outcome = await concluded(here)
    assert bool({Fault.TORN, Fault.OPEN} & kinds(outcome.verdicts)) == bool(mutation)
