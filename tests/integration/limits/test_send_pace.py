"""The shared send pace against a real server: instances together keep one rate, and Redis
may be gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from channels.pacing import Rate, SharedPace
from storage.limits.send_pace import RedisPace
from storage.redis import RedisPipe, open_redis
from tests.support.servers import Valkey

HOUR = 3600.0
PATIENCE = 5.0
"""Seconds for an answer of Redis: a busy machine takes longer than a turn may wait."""


@pytest.fixture
async def pipe(redis_url: str) -> AsyncIterator[RedisPipe]:
    async with open_redis(redis_url, deadline=PATIENCE) as opened:
        yield opened


@pytest.fixture
def pace(pipe: RedisPipe) -> SharedPace:
    return RedisPace(pipe, "bot-1")


async def test_all_instances_together_get_one_burst(redis_url: str) -> None:
    async with (
        open_redis(redis_url, deadline=PATIENCE) as one,
        open_redis(redis_url, deadline=PATIENCE) as two,
    ):
        paces = [RedisPace(one, "bot-1"), RedisPace(two, "bot-1")]
        for pace in paces:  # Redis has to answer soon: connected before that
            await pace.reserve("another bot", Rate(5, HOUR))
        waits = await asyncio.gather(
            *(paces[n % 2].reserve("bot", Rate(5, HOUR)) for n in range(20))
        )
    assert [wait > 0 for wait in sorted(waits)] == [False] * 5 + [True] * 15


async def test_the_wait_is_until_the_next_call_is_paid_for(pace: SharedPace) -> None:
    await pace.reserve("chat:1", Rate(2, HOUR))
    await pace.reserve("chat:1", Rate(2, HOUR))

    assert await pace.reserve("chat:1", Rate(2, HOUR)) == pytest.approx(
        HOUR / 2, abs=60
    )


async def test_a_slot_comes_back_when_the_wait_that_was_named_is_over(
    pace: SharedPace,
) -> None:
    rate = Rate(1, 0.05)
    await pace.reserve("chat:1", rate)

    async with asyncio.timeout(30):
        waits = 0
        while (wait := await pace.reserve("chat:1", rate)) > 0:
            assert wait <= 0.05
            waits += 1
            await asyncio.sleep(wait)

    assert waits <= 2


async def test_keys_and_bots_do_not_share(pace: SharedPace, pipe: RedisPipe) -> None:
    rate = Rate(1, HOUR)
    waits = [
        await pace.reserve("chat:1", rate),
        await pace.reserve("chat:2", rate),
        await RedisPace(pipe, "bot-2").reserve("chat:1", rate),
    ]

    assert waits == [0, 0, 0]


async def test_a_penalty_holds_every_instance_as_long_as_it_was_named(
    pace: SharedPace,
    pipe: RedisPipe,
) -> None:
    await pace.penalise("bot", 600)
    await pace.penalise("bot", 5)

    assert await RedisPace(pipe, "bot-1").reserve("bot", Rate(9, 1)) == pytest.approx(
        600, abs=60
    )


async def test_a_penalty_outlives_the_pace_and_is_then_forgotten(
    pace: SharedPace,
    pipe: RedisPipe,
) -> None:
    await pace.reserve("chat:1", Rate(1, HOUR))
    await pace.penalise("chat:1", 5)
    [after_penalty] = await pipe.send(("PTTL", "rate:send:bot-1:chat:1")) or []
    await pace.reserve("chat:2", Rate(1, 100))
    [after_call] = await pipe.send(("PTTL", "rate:send:bot-1:chat:2")) or []

    assert after_penalty == pytest.approx(HOUR * 1000, abs=60_000)
    assert after_call == pytest.approx(100_000, abs=60_000)


async def test_a_clock_that_was_set_back_costs_one_period_at_most(
    pace: SharedPace,
    pipe: RedisPipe,
) -> None:
    far_ahead = "99999999999999999"
    await pipe.send(("HSET", "rate:send:bot-1:bot", "paid", far_ahead))

    assert await pace.reserve("bot", Rate(10, 10)) <= 1


async def test_without_redis_the_answer_is_go(own_redis: Valkey) -> None:
    async with open_redis(own_redis.url) as pipe:
        pace = RedisPace(pipe, "bot-1")
        await pace.penalise("bot", 600)
        own_redis.kill()
        await pace.penalise("bot", 600)

        assert await pace.reserve("bot", Rate(1, HOUR)) == 0


async def test_a_frozen_redis_does_not_stop_a_send(own_redis: Valkey) -> None:
    async with open_redis(own_redis.url) as pipe:
        pace = RedisPace(pipe, "bot-1")
        own_redis.freeze()
        try:
            async with asyncio.timeout(30):
                waits = [await pace.reserve("bot", Rate(1, HOUR)) for _ in range(10)]
        finally:
            own_redis.thaw()
    assert waits == [0] * 10


async def test_a_key_of_another_kind_is_no_error(
    pace: SharedPace,
    pipe: RedisPipe,
) -> None:
    await pipe.send(("SET", "rate:send:bot-1:bot", "text"))
    assert await pace.reserve("bot", Rate(1, HOUR)) == 0
