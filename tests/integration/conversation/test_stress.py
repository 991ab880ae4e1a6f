"""No promise breaks, whatever happens to three instances on the same conversations."""

from __future__ import annotations

import random

import pytest

from tests.support.fleet.storm import storm


async def test_no_promise_breaks_in_a_small_storm(
    database_url: str, redis_url: str
) -> None:
    seed = random.randrange(10**6)

    assert (
        await storm(
            database_url,
            redis_url,
            seed=seed,
            chats=12,
            messages=600,
            kills=4,
            stalls=3,
        )
        == {}
    )


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_no_promise_breaks_in_a_large_storm(
    database_url: str, redis_url: str
) -> None:
    seed = random.randrange(10**6)

    assert (
        await storm(
            database_url,
            redis_url,
            seed=seed,
            chats=200,
            messages=25_000,
            kills=60,
            stalls=40,
        )
        == {}
    )
