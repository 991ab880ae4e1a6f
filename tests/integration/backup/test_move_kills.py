"""`kill -9` in the middle of a move: the old store works, and the new one is whole or empty."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from storage import migrate
from storage.embedded.servers import embedded
from tests.support.backups import fill, nobody_in, tables, value
from tests.support.commands import Machine, killed
from tests.support.servers import Postgres

ROUNDS = [pytest.param(20, marks=[pytest.mark.chaos, pytest.mark.timeout(1200)])]
MESSAGES = 15_000
SPREAD = 0.9
"""Of an undisturbed move's time: the last tenth is what comes after it."""


@pytest.fixture
def plain(tmp_path: Path) -> Machine:
    """Commands as processes of their own: a forked one would not be killed whole."""
    return Machine(tmp_path)


async def moved(machine: Machine, seconds: float, *arguments: str) -> int:
    """The status of a move that got `kill -9`, if it did not end before."""
    return await killed(machine, seconds, "db", "move", *arguments)


async def measured(machine: Machine, *arguments: str) -> float:
    """Seconds that a whole move takes here and now."""
    began = asyncio.get_running_loop().time()
    assert 0 == await moved(machine, 100, *arguments)

    return asyncio.get_running_loop().time() - began


def moments(seconds: float, rounds: int) -> list[float]:
    """Random, and spread over the whole run, so that each part of it is met."""
    seed = random.randrange(2**32)
    print(f"seed {seed}, a whole move takes {seconds:.1f} s")
    chance = random.Random(seed)
    step = SPREAD * seconds / rounds

    return [step * (n + chance.random()) for n in range(rounds)]


async def messages_in(url: str) -> object:
    return await value(url, "SELECT count(*) FROM messages")


async def works(home: Path) -> None:
    """The embedded store starts, has everything, and takes more."""
    async with embedded(home, redis=False) as stores:
        await migrate.match_schema(stores.database_url, may_upgrade=True)
        assert MESSAGES == await messages_in(stores.database_url)
        await value(stores.database_url, "UPDATE users SET username = 'still here'")


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_a_killed_move_to_a_server_leaves_the_embedded_store_at_work(
    plain: Machine, own_postgres: Postgres, tmp_path: Path, rounds: int
) -> None:
    """And the next run moves everything."""
    home = tmp_path / "home"
    async with embedded(home, redis=False) as stores:
        await migrate.upgrade(stores.database_url)
        await fill(stores.database_url, each=MESSAGES // 3)
    async with own_postgres.database() as url:
        whole = await measured(plain, "--to", url)

    unfinished = 0
    for moment in moments(whole, rounds):
        async with own_postgres.database() as url:
            unfinished += 0 != await moved(plain, moment, "--to", url)
            await nobody_in(own_postgres.url(), url.split("/")[3].partition("?")[0])
            if await tables(url):
                assert MESSAGES == await messages_in(url)
            await works(home)

    assert unfinished > 0
    async with own_postgres.database() as url:
        assert 0 == await moved(plain, 100, "--to", url)
        assert MESSAGES == await messages_in(url)
    assert [] == list((home / "scratch").iterdir())


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_a_killed_move_into_the_embedded_store_leaves_both_at_work(
    plain: Machine, database_url: str, tmp_path: Path, rounds: int
) -> None:
    """What stood in its place is there, or the whole new one is. The server has everything."""
    home = tmp_path / "home"
    async with embedded(home, redis=False) as stores:
        await migrate.upgrade(stores.database_url)
        await fill(stores.database_url, each=MESSAGES // 3)
    await fill(database_url, each=MESSAGES // 3)
    command = ("--from", database_url, "--to", "embedded")
    whole = await measured(plain, *command)

    unfinished = 0
    for moment in moments(whole, rounds):
        unfinished += 0 != await moved(plain, moment, *command)
        assert MESSAGES == await messages_in(database_url)
        await works(home)

    assert unfinished > 0
    assert 0 == await moved(plain, 100, *command)
    await works(home)
    left = {path.name for path in (home / "postgres").iterdir()}
    assert set() == {name for name in left if name.startswith((".", "data.next"))}
