"""Processes are killed between accept and answer: nothing is lost or answered twice."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.fleet.fleet import fleet
from tests.support.fleet.invariant_queries import broken_promises

TAKEN_UP_SECONDS = 8.0
KILLS_A_ROUND = 10


@pytest.mark.parametrize("round_", range(5))
async def test_a_message_outlives_its_process(
    database_url: str, redis_url: str, round_: int
) -> None:
    """Invariant 8. Fifty kills in all: each process was asking its model."""
    async with fleet(database_url, redis_url) as group:
        victims = [await group.spawn(hangs=True) for _ in range(KILLS_A_ROUND)]
        accepted = await asyncio.gather(
            *(
                victim.deliver(f"chat {n}", f"{n}", f"hello {n}")
                for n, victim in enumerate(victims)
            )
        )

        assert accepted == [True] * KILLS_A_ROUND

        for victim in victims:
            victim.kill()
        await group.spawn()
        await group.until(
            "SELECT count(*) = $1 FROM platform",
            KILLS_A_ROUND,
            deadline=TAKEN_UP_SECONDS,
        )
        await group.settle(deadline=TAKEN_UP_SECONDS)

        broken = await broken_promises(group.probe)

        assert broken == {}

        answers = await group.probe.fetch(
            "SELECT content FROM messages WHERE role = 'assistant' ORDER BY content"
        )

        assert [row["content"] for row in answers] == [
            f"re: hello {n}" for n in range(KILLS_A_ROUND)
        ]


async def test_an_instance_that_leaves_hands_its_work_to_another_at_once(
    database_url: str, redis_url: str
) -> None:
    """Its lease has not expired when the other takes over."""
    async with fleet(database_url, redis_url) as group:
        leaving = await group.spawn(hangs=True, lease=3600, drain=0.2)
        await leaving.deliver("chat", "1", "hello")
        await group.spawn(beat=0.1)
        leaving.leave()
        await group.settle(deadline=TAKEN_UP_SECONDS)

        broken = await broken_promises(group.probe)

        assert broken == {}
