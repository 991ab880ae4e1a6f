"""Three instances on the same conversations; messages come up to four times, with kills and
stalls.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from tests.support.fleet.fleet import Fleet, Member, MemberGone, fleet
from tests.support.fleet.invariant_queries import broken_promises

LEASE = 1.0
BEAT = 0.2


class Crowd:
    """People in a few chats, on a platform that repeats messages, with members that come and go."""

    def __init__(
        self, group: Fleet, members: Sequence[Member], dice: random.Random
    ) -> None:
        self._group = group
        self._members = list(members)
        self._dice = dice

    async def write(self, chat: int, number: int) -> None:
        """Delivers a message one to four times, and again until it is durable."""
        copies = self._dice.randint(1, 4)
        verdicts = await asyncio.gather(
            *(self._deliver(chat, number) for _ in range(copies))
        )

        while not any(verdicts):
            verdicts = [await self._deliver(chat, number)]

    async def _deliver(self, chat: int, number: int) -> bool:
        member = self._dice.choice(self._members)
        try:
            async with asyncio.timeout(10 * LEASE):
                return await member.deliver(
                    f"chat {chat}", f"{number}", f"message {number}"
                )
        except (MemberGone, TimeoutError):
            return False

    async def kill_one(self) -> None:
        victim = self._members.pop(self._dice.randrange(len(self._members)))
        victim.kill()
        self._members.append(await self._group.spawn(lease=LEASE, beat=BEAT))

    async def stall_one(self) -> None:
        """Freezes a member past its lease; then it continues as if nothing had happened."""
        victim = self._dice.choice(self._members)
        victim.freeze()
        await self._group.probe.execute("SELECT pg_sleep($1)", 1.5 * LEASE)
        victim.thaw()


async def storm(
    database_url: str,
    redis_url: str,
    *,
    seed: int,
    chats: int,
    messages: int,
    kills: int,
    stalls: int,
) -> dict[str, int]:
    """Returns the broken promises, and checks that nothing is missing."""
    print(f"seed {seed}")
    dice = random.Random(seed)

    async with fleet(database_url, redis_url) as group:
        crowd = Crowd(
            group, [await group.spawn(lease=LEASE, beat=BEAT) for _ in range(3)], dice
        )

        async def talk() -> None:
            gate = asyncio.Semaphore(30)

            async def one(number: int) -> None:
                async with gate:
                    await crowd.write(number % chats, number)

            await asyncio.gather(*(one(number) for number in range(messages)))

        async def trouble() -> None:
            events = [crowd.kill_one] * kills + [crowd.stall_one] * stalls
            dice.shuffle(events)

            for event in events:
                await event()

        await asyncio.gather(talk(), trouble())
        await group.settle(deadline=60 * LEASE)
        broken = await broken_promises(group.probe)
        rows = await group.probe.fetchval(
            "SELECT count(*) FROM messages WHERE role = 'user'"
        )

        return (
            broken
            if rows == messages
            else broken | {"messages missing": messages - rows}
        )
