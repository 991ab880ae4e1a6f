"""Hours of chaos: every fault alone and in pairs, on one to three instances. Each run
prints the seed of its plan.
"""

from __future__ import annotations

import random

import pytest

from tests.chaos.__main__ import one_run
from tests.chaos.harness.faults import FAULTS
from tests.chaos.harness.processes import Nursery

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(4 * 3600)]

PAIRED_RUNS = 10
OFTEN = {
    "kill_agent": 300,
    "freeze_agent": 50,
    "lose_postgres": 20,
    "lose_answers": 50,
}
"""Rounds of the faults that agents are most likely to meet."""

ROUNDS = 20  # of all other faults


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_fault_again_and_again(nursery: Nursery, fault: str) -> None:
    """Real clocks, two direct chats and a group on each platform."""
    seed = random.randrange(10**6)
    outcome = await one_run(
        nursery,
        seed,
        [fault],
        rounds=OFTEN.get(fault, ROUNDS),
        instances=1 + seed % 3,
    )
    assert (outcome.faults, outcome.settled) == ({}, True)


@pytest.mark.parametrize("run", range(PAIRED_RUNS))
async def test_two_faults_at_once(nursery: Nursery, run: int) -> None:
    """Pairs drawn from all faults."""
    seed = random.randrange(10**6)
    outcome = await one_run(
        nursery,
        seed,
        list(FAULTS),
        rounds=ROUNDS,
        at_once=2,
        pause=20.0,
        instances=1 + seed % 3,
    )
    assert (outcome.faults, outcome.settled) == ({}, True)
