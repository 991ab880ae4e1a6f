"""A heartbeat waits for nothing but its own statement."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from msgspec.structs import replace

from agent.core.turns import Claim, Undelivered
from agent.ports import Ports
from tests.support.engine_harness import EngineHarness

LEASE = 0.6


@dataclass
class SlowRecovery:
    """A sweep over a table so large that the statement takes longer than a lease."""

    sweeps: int = 0

    async def take_over(self) -> Sequence[Claim]:
        self.sweeps += 1
        await asyncio.sleep(30)

        return ()

    async def take_deliveries(self) -> Sequence[Undelivered]:
        self.sweeps += 1
        await asyncio.sleep(30)

        return ()

    async def attempt(self, turns: Sequence[UUID]) -> None:
        return None


async def test_a_sweep_that_takes_long_ends_no_lease(
    database_url: str, redis_url: str
) -> None:
    """An answer that grows for longer than a lease is written once, by its own instance."""
    world = EngineHarness(database_url, redis_url, lease=LEASE, beat=0.1)
    recovery = SlowRecovery()

    def slow(ports: Ports) -> Ports:
        return replace(ports, recovery=recovery)

    async with world.instance(slow) as agent, world.instance():
        world.model.hold()
        await agent.engine.accept(world.message("a long question"))
        await asyncio.sleep(3 * LEASE)
        world.model.release()
        await world.answered("ada", "re: a long question")

    assert recovery.sweeps == 1  # one at a time
    assert len(world.model.prompts) == 1
