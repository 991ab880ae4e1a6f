"""Rate limits over real stores: which messages pass, which refusals are explained, and what
happens when Redis forgets or is gone.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack

import pytest

from agent.core.limits import Limit, Limited, Rule
from storage.conversation.cache import RedisCache
from tests.support.limits import member, message, redis_time
from tests.support.servers import Valkey
from tests.support.settings import run, set_channel


async def test_all_instances_together_admit_exactly_the_limit_at_once(
    database_url: str,
    redis_url: str,
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
    database_url: str,
    redis_url: str,
    seconds: int,
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
    database_url: str,
    redis_url: str,
) -> None:
    async with member(database_url, redis_url, Limit(2, 3600)) as one:
        await one.admits(2)
        limited = await one.limiter.judge(message())

    assert limited is not None
    assert (limited.scope, limited.tell) == ("user", True)
    assert 1700 < limited.wait <= 1800


async def test_a_message_counts_in_all_its_limits_or_in_none(
    database_url: str,
    redis_url: str,
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
    database_url: str,
    redis_url: str,
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
    database_url: str,
    redis_url: str,
    instances: int,
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


async def test_random_evictions_beside_two_busy_instances_let_through_twice_the_limit_at_most(
    database_url: str,
    redis_url: str,
) -> None:
    """Both ask at once, and between any two of their questions the key may go."""
    limit, chance = Limit(50, 86_400), random.Random(message().message_id)
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
                evicted += await members[0].pipe.client.delete(
                    "rate:user:test:ada:day"
                )
            passed += sum(await busy)
            assert passed <= limit.count * len(members)

    assert passed == limit.count * len(members)


async def test_without_redis_each_instance_admits_its_share(
    database_url: str,
    own_redis: Valkey,
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
    database_url: str,
    own_redis: Valkey,
) -> None:
    async with member(database_url, own_redis.url, Limit(5, 3600)) as one:
        assert await one.admits(1) == 1

        await one.pipe.client.script_flush()

        assert await one.admits(9) == 4


async def test_a_clock_that_went_back_locks_nobody_out(
    database_url: str,
    redis_url: str,
) -> None:
    async with member(database_url, redis_url, Limit(60, 60)) as one:
        await one.pipe.client.set("rate:user:test:ada:minute", 9_000_000_000_000_000)
        limited = await one.limiter.judge(message())

    assert limited is not None
    assert 0 < limited.wait <= 1


async def test_a_repeated_delivery_is_counted_once(
    database_url: str,
    redis_url: str,
) -> None:
    async with member(database_url, redis_url, Limit(2, 3600)) as one:
        first = message()

        assert [await one.limiter.judge(first) for _ in range(5)] == [None] * 5
        assert await one.admits(5) == 1


async def test_an_arrival_is_judged_in_the_round_trip_it_makes_anyway(
    database_url: str,
    redis_url: str,
) -> None:
    async with member(database_url, redis_url, Limit(1, 3600)) as one:
        cache = RedisCache(one.pipe, limiter=one.limiter)
        await cache.arrive(message())  # the script is new to this Redis
        before = one.pipe.round_trips
        arrivals = [await cache.arrive(message(user=user)) for user in ("ada", "bob")]

        assert one.pipe.round_trips - before == 2
    assert [arrival.limited is None for arrival in arrivals] == [False, True]


async def test_anything_can_be_limited_by_its_own_rule(
    database_url: str,
    redis_url: str,
) -> None:
    async with member(database_url, redis_url) as one:
        rule = Rule("ip", "192.0.2.1", Limit(1, 60), "192.0.2.1")

        assert await one.limiter.judge_rules([rule]) is None

        limited = await one.limiter.judge_rules([rule])

        assert limited is not None
        assert await one.pipe.client.exists("rate:ip:192.0.2.1:minute") == 1
