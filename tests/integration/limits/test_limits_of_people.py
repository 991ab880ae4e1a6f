"""One person, several accounts, one limit: what holds once it is known whose they are, and
what until then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from agent.core.limits import Limit
from agent.core.messages import Window
from agent.core.turns import Session
from storage.conversation.cache import RedisCache
from storage.limits.limit_admin import LimitAdmin
from tests.support.engine_harness import EngineHarness
from tests.support.limits import Member, member, message
from tests.support.servers import Valkey
from tests.support.settings import OPERATOR, run, set_channel

PERSON = UUID(int=7)
LIMIT = Limit(5, 3600)
ACCOUNTS = ("ada", "ada elsewhere", "ada at work")


@dataclass
class Arrivals:
    """One instance, as far as it judges arriving messages."""

    member: Member
    cache: RedisCache

    async def keep(self, account: str, person: UUID | None = PERSON) -> None:
        """An answer to this account was stored: now it is known whose it is."""
        session = Session(
            ("test", account, ""), account, uuid4(), uuid4(), person=person
        )
        await self.cache.keep(session, Window(2, ()))

    async def admits(self, account: str, times: int) -> int:
        """How many of so many messages pass that arrive at once."""
        arriving = (
            self.cache.arrive(message(user=account, chat=account))
            for _ in range(times)
        )
        return sum(
            arrival.limited is None for arrival in await asyncio.gather(*arriving)
        )


@asynccontextmanager
async def arrivals(
    database_url: str,
    redis_url: str,
    limit: Limit | None = LIMIT,
) -> AsyncIterator[Arrivals]:
    async with member(database_url, redis_url, limit) as one:
        yield Arrivals(one, RedisCache(one.pipe, limiter=one.limiter))


async def test_linked_accounts_share_one_limit(
    database_url: str,
    redis_url: str,
) -> None:
    """However the messages are spread; somebody else is not concerned."""
    async with arrivals(database_url, redis_url) as one:
        for account in ACCOUNTS:
            await one.keep(account)

        await one.keep("bob", UUID(int=8))

        assert [2, 2, 1] == [await one.admits(account, 2) for account in ACCOUNTS]
        assert [0, 0, 0, 5] == [
            await one.admits(account, 9) for account in (*ACCOUNTS, "bob")
        ]


async def test_another_instance_learns_whose_account_it_is_from_the_session(
    database_url: str,
    redis_url: str,
) -> None:
    """The very first message counts for the person, in the round trip that a missing hint
    costs anyway.
    """
    async with (
        arrivals(database_url, redis_url) as one,
        arrivals(database_url, redis_url) as other,
    ):
        for account in ACCOUNTS:
            await one.keep(account)

        assert 1 == await one.admits(
            "bob", 1
        )  # the script is known to Redis from now on

        before = other.member.pipe.round_trips

        assert [1, 1] == [await other.admits(account, 1) for account in ACCOUNTS[:2]]
        assert 2 * 2 == other.member.pipe.round_trips - before

        await other.keep("ada")
        before = other.member.pipe.round_trips

        assert 1 == await other.admits("ada", 1)
        assert 1 == other.member.pipe.round_trips - before
        assert [2, 0, 0] == [await other.admits(account, 9) for account in ACCOUNTS]


async def test_as_long_as_nobody_knows_whose_they_are_each_account_has_the_limit(
    database_url: str,
    redis_url: str,
) -> None:
    """Never more, also when it becomes known in between: an account has no second limit
    left then.
    """
    async with arrivals(database_url, redis_url) as one:
        passed = [await one.admits(account, 9) for account in ACCOUNTS]

        for account in ACCOUNTS:
            await one.keep(account)

        assert [5, 5, 5] == passed
        assert [0, 0, 0] == [await one.admits(account, 9) for account in ACCOUNTS]


@pytest.mark.parametrize("linked", [1, 3])
async def test_redis_that_loses_everything_lets_through_accounts_times_limit_at_most(
    database_url: str,
    redis_url: str,
    linked: int,
) -> None:
    """With what is known and what is not, on one instance after the other; for one account
    that is the limit.
    """
    accounts = ACCOUNTS[:linked]
    async with AsyncExitStack() as stack:
        passed = 0
        for number in range(6):
            one = await stack.enter_async_context(arrivals(database_url, redis_url))
            passed += sum([await one.admits(account, 1) for account in accounts])

            if number % 2:
                for account in accounts:
                    await one.keep(account)

            await one.member.pipe.client.delete(
                *(f"session:test:{account}" for account in accounts)
            )
            passed += sum([await one.admits(account, 1) for account in accounts])

    assert 5 <= passed <= 5 * linked


async def test_a_session_of_another_person_is_corrected_with_the_next_answer(
    database_url: str,
    redis_url: str,
) -> None:
    """As after /link: what was counted for the person that is gone takes nothing from the
    one who stays.
    """
    async with (
        arrivals(database_url, redis_url) as one,
        arrivals(database_url, redis_url) as other,
    ):
        await one.keep("ada")
        await one.keep("bob", UUID(int=8))

        assert 2 == await other.admits("bob", 2)

        await one.keep(
            "bob", PERSON
        )  # the other instance still takes bob for somebody else

        assert [3, 2] == [await other.admits("bob", 9), await other.admits("ada", 9)]


async def test_without_redis_an_instance_that_knows_them_counts_them_together(
    database_url: str,
    own_redis: Valkey,
) -> None:
    async with arrivals(database_url, own_redis.url) as one:
        for account in ACCOUNTS[:2]:
            await one.keep(account)

        own_redis.kill()

        assert [3, 2, 5] == [
            await one.admits("ada", 3),
            await one.admits("ada elsewhere", 9),
            await one.admits("ada at work", 9),
        ]


async def test_commands_count_for_the_person_too(
    database_url: str,
    redis_url: str,
) -> None:
    async with arrivals(database_url, redis_url) as one:
        for account in ACCOUNTS:
            await one.keep(account)

        assert 4 == await one.member.admits(4, user="ada")
        assert 1 == await one.admits("ada elsewhere", 9)


async def test_people_who_are_linked_share_the_limit_of_either_from_their_next_answers_on(
    database_url: str,
    redis_url: str,
) -> None:
    """The whole way: an operator limits bob, bob joins ada, and whatever either of them
    writes counts for both.
    """
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        limits = LimitAdmin(agent.database, agent.pipe)

        for chat in ("ada", "bob"):
            await world.ask(agent, "hello", chat=chat)

        await limits.set("test:bob", "8/hour", OPERATOR)
        await agent.engine.accept(world.message("/link", chat="ada"))
        await world.platform.until(lambda: len(world.platform.screen("ada")) == 2)
        code = world.platform.screen("ada")[-1].rpartition("/link ")[2].strip("`")
        await agent.engine.accept(world.message(f"/link {code}", chat="bob"))
        await world.platform.until(
            lambda: "one now" in world.platform.screen("bob")[-1]
        )
        await agent.ports.control_updates.observe(
            0
        )  # as the heartbeat does within a second

        for chat in ("ada", "bob"):
            await world.ask(agent, "known from here on", chat=chat)

        await limits.reset("test:ada", OPERATOR)
        await agent.ports.control_updates.observe(0)

        for number in range(4):
            for chat in ("ada", "bob"):
                await world.ask(agent, f"{number}", chat=chat)

        assert [8, 8] == [view.used for view in await limits.person("test:bob")]

        for chat in ("ada", "bob"):
            await agent.engine.accept(world.message("too much", chat=chat))

        await world.platform.until(
            lambda: all(
                "too quickly" in world.platform.screen(c)[-1] for c in ("ada", "bob")
            )
        )
        await limits.reset("test:bob", OPERATOR)
        await agent.ports.control_updates.observe(0)

        for chat in ("ada", "bob"):
            await world.ask(agent, "again", chat=chat)

    assert (
        0
        == (
            await run(
                database_url,
                "SELECT count(*) FROM messages WHERE content = 'too much'",
            )
        )[0]["count"]
    )


async def test_channels_with_different_limits_share_what_is_used_of_the_window(
    database_url: str,
    redis_url: str,
) -> None:
    """Half of ten and half of four are all of one window."""
    await set_channel(database_url, user_limit="10/hour")
    await set_channel(database_url, "other", user_limit="4/hour")
    async with arrivals(database_url, redis_url) as one:
        await one.keep("ada")

        assert 5 == await one.admits("ada", 5)

        one.member.limiter.learn("other", "ada", PERSON)
        elsewhere = [message(user="ada", chat="ada") for _ in range(9)]
        passed = [
            await one.member.limiter.judge(
                replace(inbound, address=replace(inbound.address, channel="other"))
            )
            is None
            for inbound in elsewhere
        ]

        assert 2 == sum(passed)
