"""Rate limits over real stores: who may speak, who hears why not, and what happens when
Redis forgets or is gone.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count

import pytest
from redis.asyncio import Redis

from agent import metrics
from agent.core.limits import Limit, Limited, Rule
from agent.core.messages import Address, Said
from storage.control.live import RedisControl
from storage.conversation.cache import RedisCache
from storage.limits.limit_admin import LimitAdmin
from storage.limits.limiter import RedisLimiter
from storage.postgres import Database, open_database
from storage.redis import RedisPipe, open_redis
from tests.support.engine_harness import EngineHarness
from tests.support.servers import Valkey
from tests.support.settings import OPERATOR, run, set_channel

_ids = count()


def message(text: str = "hello", *, user: str = "ada", chat: str = "ada") -> Said:
    return Said(Address("test", chat), f"m{next(_ids)}", user, text)


@dataclass
class Member:
    """One instance's limiter, with a clock of its own for what it keeps in memory."""

    limiter: RedisLimiter
    control: RedisControl
    database: Database
    pipe: RedisPipe
    now: list[float]

    async def admits(self, times: int, *, user: str = "ada", chat: str = "ada") -> int:
        """How many of so many messages pass, one after the other."""
        return sum(
            [
                await self.limiter.judge(message(user=user, chat=chat)) is None
                for _ in range(times)
            ]
        )


async def redis_time(member: Member) -> float:
    seconds, micros = await member.pipe.client.time()
    return float(seconds) + float(micros) / 1e6


PATIENCE = 10.0
"""Seconds for a round trip: here it is asked what Redis says, not what is done when a busy
machine makes it late.
"""


@asynccontextmanager
async def member(
    database_url: str,
    redis_url: str,
    per_person: Limit | None = None,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[Member]:
    now = [0.0]
    async with (
        open_database(database_url) as database,
        open_redis(redis_url, deadline=PATIENCE) as pipe,
    ):
        control = RedisControl(database, pipe)
        await control.start()
        limiter = RedisLimiter(
            database, pipe, control, per_person, clock or (lambda: now[0])
        )
        yield Member(limiter, control, database, pipe, now)


async def test_all_instances_together_admit_exactly_the_limit_at_once(
    database_url: str, redis_url: str
) -> None:
    async with AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(
                member(database_url, redis_url, Limit(60, 86_400))
            )
            for _ in range(8)
        ]
        verdicts = await asyncio.gather(
            *(m.limiter.judge(message()) for m in members for _ in range(25))
        )
    assert sum(verdict is None for verdict in verdicts) == 60
    assert sum(verdict is not None and verdict.tell for verdict in verdicts) == 1


@pytest.mark.parametrize("seconds", [1, pytest.param(10, marks=pytest.mark.chaos)])
async def test_eight_clients_are_never_above_the_ideal_and_at_most_one_below(
    database_url: str, redis_url: str, seconds: int
) -> None:
    """After every round, in which all that is free is taken. The ideal is computed from
    Redis's own clock.
    """
    limit = Limit(400, 10)
    async with AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(
                member(database_url, redis_url, limit, time.monotonic)
            )
            for _ in range(8)
        ]
        began = ended = await redis_time(members[0])
        begun = passed = 0.0
        while ended - began < seconds:
            asked = await redis_time(members[0])
            verdicts = await asyncio.gather(
                *(m.limiter.judge(message()) for m in members for _ in range(64))
            )
            passed += sum(verdict is None for verdict in verdicts)
            ended = await redis_time(members[0])
            begun = begun or ended  # the first message came before
            assert passed <= limit.count + (ended - began) / limit.interval
            assert passed >= limit.count + (asked - begun) / limit.interval - 1


async def test_the_waiting_time_is_that_of_one_interval(
    database_url: str, redis_url: str
) -> None:
    async with member(database_url, redis_url, Limit(2, 3600)) as one:
        await one.admits(2)
        limited = await one.limiter.judge(message())
    assert limited is not None
    assert (limited.scope, limited.tell) == ("user", True)
    assert 1700 < limited.wait <= 1800


async def test_a_message_counts_in_all_its_limits_or_in_none(
    database_url: str, redis_url: str
) -> None:
    await set_channel(
        database_url, user_limit="3/hour", chat_limit="5/hour", channel_limit="7/hour"
    )
    async with member(database_url, redis_url) as one:
        assert await one.admits(9, user="ada", chat="room") == 3
        assert await one.admits(9, user="bob", chat="room") == 2
        assert await one.admits(9, user="bob", chat="bob") == 1
        assert await one.admits(9, user="eve", chat="eve") == 1


async def test_keys_have_the_form_of_the_specification_and_end_with_their_window(
    database_url: str, redis_url: str
) -> None:
    await set_channel(database_url, user_limit="1/minute", chat_limit="5/10s")
    async with member(database_url, redis_url) as one:
        await one.admits(2)
        [names] = await one.pipe.send(("KEYS", "rate:*")) or [[]]
        keys = {name.decode(): await one.pipe.client.pttl(name) for name in names}
    assert keys.keys() == {
        "rate:user:test:ada:minute",
        "rate:told-user:test:ada:minute",
        "rate:chat:test:ada:10s",
    }
    assert all(0 < left <= 60_000 for left in keys.values())


@pytest.mark.parametrize("instances", [1, 4])
async def test_keys_that_are_evicted_let_through_at_most_the_limit_of_each_instance(
    database_url: str, redis_url: str, instances: int
) -> None:
    async with AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(
                member(database_url, redis_url, Limit(5, 3600))
            )
            for _ in range(instances)
        ]
        passed = 0
        for turn in range(60):
            passed += await members[turn % instances].admits(1)
            await members[0].pipe.client.delete("rate:user:test:ada:hour")
    assert passed == 5 * instances


async def test_keys_that_are_evicted_at_random_beside_two_busy_instances_let_through_twice_the_limit_at_most(
    database_url: str, redis_url: str
) -> None:
    """Both ask at once, and between any two of their questions the key may go."""
    limit, chance = Limit(50, 86_400), random.Random(f"{next(_ids)}")
    async with AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(member(database_url, redis_url, limit))
            for _ in range(2)
        ]
        passed = evicted = 0
        while evicted < 40:
            busy = asyncio.gather(
                *(m.admits(chance.randint(1, 5)) for m in members for _ in range(3))
            )
            if chance.random() < 0.5:
                evicted += await members[0].pipe.client.delete("rate:user:test:ada:day")
            passed += sum(await busy)
            assert passed <= limit.count * len(members)
    assert passed == limit.count * len(members)


async def test_without_redis_each_instance_admits_its_share(
    database_url: str, own_redis: Valkey
) -> None:
    await run(
        database_url,
        "INSERT INTO instances (id, host, pid, channels)"
        " SELECT gen_random_uuid(), 'h', 1, '{}' FROM generate_series(1, 4)",
    )
    async with AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(
                member(database_url, own_redis.url, Limit(60, 3600))
            )
            for _ in range(4)
        ]
        own_redis.kill()
        assert [await m.admits(40) for m in members] == [15] * 4
        limited = await members[0].limiter.judge(message())
        assert limited == Limited("user", 240.0, tell=False)
        members[0].now[0] += 240
        assert await members[0].admits(5) == 1


async def test_a_redis_that_comes_back_empty_knows_the_script_again(
    database_url: str, own_redis: Valkey
) -> None:
    async with member(database_url, own_redis.url, Limit(5, 3600)) as one:
        assert await one.admits(1) == 1
        await one.pipe.client.script_flush()
        assert await one.admits(9) == 4


async def test_a_clock_that_went_back_locks_nobody_out(
    database_url: str, redis_url: str
) -> None:
    async with member(database_url, redis_url, Limit(60, 60)) as one:
        await one.pipe.client.set("rate:user:test:ada:minute", 9_000_000_000_000_000)
        limited = await one.limiter.judge(message())
    assert limited is not None
    assert 0 < limited.wait <= 1


async def test_a_repeated_delivery_is_counted_once(
    database_url: str, redis_url: str
) -> None:
    async with member(database_url, redis_url, Limit(2, 3600)) as one:
        first = message()
        assert [await one.limiter.judge(first) for _ in range(5)] == [None] * 5
        assert await one.admits(5) == 1


async def test_an_arrival_is_judged_in_the_round_trip_it_makes_anyway(
    database_url: str, redis_url: str
) -> None:
    async with member(database_url, redis_url, Limit(1, 3600)) as one:
        cache = RedisCache(one.pipe, limiter=one.limiter)
        await cache.arrive(message())  # the script is new to this Redis
        before = one.pipe.round_trips
        arrivals = [await cache.arrive(message(user=user)) for user in ("ada", "bob")]
        assert one.pipe.round_trips - before == 2
    assert [arrival.limited is None for arrival in arrivals] == [False, True]


async def test_anything_can_be_limited_by_its_own_rule(
    database_url: str, redis_url: str
) -> None:
    async with member(database_url, redis_url) as one:
        rule = Rule("ip", "192.0.2.1", Limit(1, 60), "192.0.2.1")
        assert await one.limiter.judge_rules([rule]) is None
        limited = await one.limiter.judge_rules([rule])
        assert limited is not None
        assert await one.pipe.client.exists("rate:ip:192.0.2.1:minute") == 1


# --- what an operator sets ----------------------------------------------------


@asynccontextmanager
async def talking(world: EngineHarness) -> AsyncIterator[LimitAdmin]:
    """An agent to whom ada has spoken, and the operator's desk."""
    async with world.instance() as agent:
        await world.ask(agent, "hello")
        yield LimitAdmin(agent.database, agent.pipe)


async def test_a_person_has_a_limit_of_their_own_until_it_is_taken_back(
    database_url: str, redis_url: str
) -> None:
    async with (
        talking(EngineHarness(database_url, redis_url)) as desk,
        member(database_url, redis_url, Limit(3, 3600)) as one,
    ):
        for wanted, user_may in (("5/day", 5), ("off", 20), (None, 3)):
            await desk.set("test:ada", wanted, OPERATOR)
            await one.control.observe(0)
            assert await one.admits(20) == user_may
            assert await one.admits(1, user=f"bob {wanted}", chat="bob") == 1


async def test_a_limit_that_is_reset_lets_the_person_speak_again_at_once(
    database_url: str, redis_url: str
) -> None:
    await set_channel(database_url, user_limit="3/hour")
    async with (
        talking(EngineHarness(database_url, redis_url)) as desk,
        member(database_url, redis_url) as one,
    ):
        assert await one.admits(5) == 2  # one was the hello
        [view] = await desk.person("test:ada")
        assert (view.limit, view.used) == (Limit(3, 3600), 3)
        await desk.reset("test:ada", OPERATOR)
        await one.control.observe(0)
        assert await one.admits(5) == 3


# --- what people see ----------------------------------------------------------


async def test_who_is_too_fast_hears_so_once_and_nothing_refused_is_stored(
    database_url: str, redis_url: str
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
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    """By the channel and whose limit it was, told or not, a command or not; not by who wrote it."""
    monkeypatch.setattr(metrics.limited, "values", {})
    await set_channel(database_url, **{f"{scope}_limit": "1/hour"})
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        await world.ask(agent, "one")
        for text in ("two", "three", "/help"):
            await agent.engine.accept(world.message(text))
    assert metrics.limited.values == {("test", scope): 3.0}


async def test_everybody_accepted_is_answered_also_beside_a_flood(
    database_url: str, redis_url: str
) -> None:
    await set_channel(database_url, user_limit="5/hour")
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        await asyncio.gather(
            *(agent.engine.accept(world.message(f"{n}", chat="eve")) for n in range(50))
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
    database_url: str, redis_url: str
) -> None:
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        await world.ask(agent, "hello")
        async with Redis.from_url(redis_url) as client:
            assert await client.keys("rate:*") == []
