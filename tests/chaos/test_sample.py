"""A sample of chaos for each day: two faults at once, on a fast clock, and only what stands
in the end is asserted.
"""

from __future__ import annotations

import random

import pytest

from tests.chaos.__main__ import one_run
from tests.chaos.harness.processes import Nursery

pytestmark = pytest.mark.timeout(240)

STORES = ("kill_redis", "freeze_redis", "flush_redis", "silence_store", "slow_store")
AGENTS = ("kill_agent", "freeze_agent", "lose_postgres", "lose_answers")
PLATFORMS = (
    "cut_platform",
    "silence_platform",
    "slow_platform",
    "slow_down",
    "hang_model",
)


# A day has room for one of them. A platform's may not settle in time: a model that hangs
# twice in a row is waited for (docs/reliability.md).
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(STORES, id="stores"),
        pytest.param(AGENTS, id="agents", marks=pytest.mark.chaos),
        pytest.param(PLATFORMS, id="platforms", marks=pytest.mark.chaos),
    ],
)
async def test_nothing_is_lost_or_torn(
    nursery: Nursery, faults: tuple[str, ...]
) -> None:
    """Two instances, two faults at once, twice; the seed is printed."""
    seed = random.randrange(10**6)
    outcome = await one_run(
        nursery,
        seed,
        faults,
        rounds=2,
        at_once=2,
        pause=5.0,
        direct=1,
        changes=["fast clock"],
    )
    assert (outcome.faults, outcome.settled) == ({}, True)
