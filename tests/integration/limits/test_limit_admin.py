"""What an operator sets as limits, and what people see of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from agent import metrics
from agent.core.limits import Limit
from storage.limits.limit_admin import LimitAdmin
from tests.support.engine_harness import EngineHarness
from tests.support.limits import member
from tests.support.settings import OPERATOR, run, set_channel


@asynccontextmanager
async def talking(world: EngineHarness) -> AsyncIterator[LimitAdmin]:
    """An agent to whom ada has spoken, and the operator's side."""
    async with world.instance() as agent:
        await world.ask(agent, "hello")
        yield LimitAdmin(agent.database, agent.pipe)


async def test_a_person_has_a_limit_of_their_own_until_it_is_taken_back(
    database_url: str,
    redis_url: str,
) -> None:
    async with (
        talking(EngineHarness(database_url, redis_url)) as limits,
        member(database_url, redis_url, Limit(3, 3600)) as one,
    ):
        for wanted, user_may in (("5/day", 5), ("off", 20), (None, 3)):
            await limits.set("test:ada", wanted, OPERATOR)
            await one.control.observe(0)

            assert await one.admits(20) == user_may
            assert await one.admits(1, user=f"bob {wanted}", chat="bob") == 1


async def test_a_limit_that_is_reset_lets_the_person_speak_again_at_once(
    database_url: str,
    redis_url: str,
) -> None:
    await set_channel(database_url, user_limit="3/hour")
    async with (
        talking(EngineHarness(database_url, redis_url)) as limits,
        member(database_url, redis_url) as one,
    ):
        assert await one.admits(5) == 2  # one was the hello

        [view] = await limits.person("test:ada")

        assert (view.limit, view.used) == (Limit(3, 3600), 3)

        await limits.reset("test:ada", OPERATOR)
        await one.control.observe(0)

        assert await one.admits(5) == 3


async def test_who_is_too_fast_hears_so_once_and_nothing_refused_is_stored(
    database_url: str,
    redis_url: str,
) -> None:
    await set_channel(database_url, user_limit="2/hour")
    world = EngineHarness(database_url, redis_url)

    async with world.instance() as agent:
        for text in ("one", "two"):
            await world.ask(agent, text)

        for text in ("three", "/help", " ", "four"):
            await agent.engine.accept(world.message(text))

        await world.answered("ada", "re: one", "re: two", TOO_FAST)
        await world.ask(agent, "hello", chat="bob")
        stored = await run(
            database_url,
            "SELECT content FROM messages WHERE role = 'user' ORDER BY seq, content",
        )

    assert [row["content"] for row in stored] == ["hello", "one", "two"]
    assert world.platform.screen("ada") == ["re: one", "re: two", TOO_FAST]


TOO_FAST = "You are sending messages too quickly. Please try again in 30 minutes."


@pytest.mark.parametrize("scope", ["user", "chat", "channel"])
async def test_every_message_that_is_held_off_is_counted(
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    scope: str,
) -> None:
    """By channel and scope, told or not, a command or not; never by the person."""
    monkeypatch.setattr(metrics.limited, "values", {})
    await set_channel(database_url, **{f"{scope}_limit": "1/hour"})
    world = EngineHarness(database_url, redis_url)

    async with world.instance() as agent:
        await world.ask(agent, "one")
        for text in ("two", "three", "/help"):
            await agent.engine.accept(world.message(text))

    assert metrics.limited.values == {("test", scope): 3.0}


async def test_everybody_accepted_is_answered_also_beside_a_flood(
    database_url: str,
    redis_url: str,
) -> None:
    await set_channel(database_url, user_limit="5/hour")
    world = EngineHarness(database_url, redis_url)

    async with world.instance() as agent:
        await asyncio.gather(
            *(
                agent.engine.accept(world.message(f"{n}", chat="eve"))
                for n in range(50)
            )
        )
        await world.ask(agent, "hello", chat="bob")
        stored = await run(
            database_url, "SELECT count(*) FROM messages WHERE role = 'user'"
        )

    left = await run(
        database_url, "SELECT count(*) FROM turns WHERE state = 'open'"
    )  # the agent has drained

    assert (stored[0]["count"], left[0]["count"]) == (5 + 1, 0)
    assert world.platform.screen("bob") == ["re: hello"]


async def test_no_limit_is_set_and_nothing_is_asked_of_redis_for_it(
    database_url: str,
    redis_url: str,
) -> None:
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        await world.ask(agent, "hello")
        async with Redis.from_url(redis_url) as client:
            assert await client.keys("rate:*") == []
