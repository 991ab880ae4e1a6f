"""Flags outlive their stores: what Redis forgets, halves, keeps too long or never had
changes no value.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.control.flags import SWITCHED_OFF
from agent.core.errors import StoreUnavailable
from storage.control import disk_copy, redis_copy
from storage.control.flags import FlagAdmin
from storage.control.live import RedisControl
from storage.control.state import ControlSnapshot
from storage.control.targets import RuleTarget
from storage.postgres import connect
from tests.support.control import (
    DISCORD,
    SLACK,
    Member,
    member,
    prepared,
    say,
    try_out,
)
from tests.support.engine_harness import EngineHarness
from tests.support.operators import operator
from tests.support.servers import Postgres, Valkey

SOON_SECONDS = 10.0


@pytest.fixture
async def agent(database_url: str, redis_url: str) -> AsyncIterator[Member]:
    async with member(database_url, redis_url) as one:
        yield one


@pytest.mark.parametrize(
    "damage",
    [
        ("FLUSHALL",),
        ("DEL", "features:global"),
        ("DEL", "features:channel:discord"),
        ("HDEL", "features:global", "maintenance_message"),
        ("HDEL", "features:channel:discord", "maintenance_message"),
        ("HSET", "features:channel:discord", "replies", "false"),
        ("HSET", "features:channel:discord", "_epoch", "1"),
        ("HSET", "features:global", "_lineage", "another database"),
        ("HSET", "features:global", "_channels", "[]x"),
        ("HSET", "features:global", "maintenance_message", "no json"),
        ("SET", "features:global", "a text"),
        ("HSET", "features:global", "_experiments", "[]x"),
        ("HDEL", "features:global", "_experiments"),
        ("DEL", "ab_test:look"),
        ("HDEL", "ab_test:look", "share"),
        ("HSET", "ab_test:look", "more", "1"),
        ("HSET", "ab_test:look", "_epoch", "1"),
        ("HSET", "ab_test:look", "_lineage", "another database"),
        ("HSET", "ab_test:look", "salt", "no json"),
        ("SET", "ab_test:look", "a text"),
    ],
)
async def test_a_hash_that_is_not_whole_is_recognised_and_rebuilt(
    flags: FlagAdmin,
    agent: Member,
    damage: tuple[str, ...],
    database_url: str,
    redis_url: str,
) -> None:
    """Whatever happened to the hashes of a change before it was read: its values come from
    Postgres, and go back.
    """
    await say(flags, "to all")
    await say(flags, "to discord", RuleTarget(channel="discord"))
    await try_out(database_url, redis_url)
    whole = await redis_copy.read(agent.pipe, at_least=5, lineage=None)
    await agent.redis.execute_command(*damage)  # type: ignore[no-untyped-call]
    await agent.beat(5)

    assert ("to all", "to discord", "tried") == (
        agent.says(),
        agent.says(DISCORD),
        agent.says(SLACK),
    )

    await agent.turn()

    assert whole == await redis_copy.read(agent.pipe, at_least=5, lineage=None)


async def test_an_older_hash_never_replaces_a_newer_one(
    flags: FlagAdmin,
    agent: Member,
) -> None:
    """Neither in Redis, when a slow writer comes late, nor in a process that sees an old
    copy of Redis.
    """
    old = agent.control.state.stored
    await say(flags, "newer")
    await agent.turn()
    new = agent.control.state.stored
    await redis_copy.write(agent.pipe, old)

    assert new == await redis_copy.read(agent.pipe, at_least=0, lineage=None)

    await redis_copy.write(
        agent.pipe, old, replace_newer=True
    )  # as after a restart of Redis from an old file
    await agent.turn()

    assert ("newer", new) == (
        agent.says(),
        await redis_copy.read(agent.pipe, at_least=0, lineage=None),
    )


async def test_another_databases_hashes_are_never_believed(
    flags: FlagAdmin,
    agent: Member,
) -> None:
    """Two databases on one Redis, by mistake: each agent keeps to its own, whosever epoch
    is higher.
    """
    other = ControlSnapshot(
        99,
        "00000000-0000-0000-0000-000000000000",
        [("global", "maintenance_message", "theirs")],
        [],
    )
    await say(flags, "ours")
    await agent.turn()
    await redis_copy.write(agent.pipe, other)
    await agent.turn()

    assert "ours" == agent.says()
    assert agent.control.state.stored == await redis_copy.read(
        agent.pipe, at_least=0, lineage=None
    )


async def test_a_database_that_was_set_back_is_obeyed(
    database_url: str,
    flags: FlagAdmin,
    agent: Member,
) -> None:
    """After a restore the epoch is lower than what Redis and the process have: the truth
    still wins.
    """
    for text in ("one", "two", "three"):
        await say(flags, text)

    await agent.turn()
    connection = await connect(database_url)
    await connection.execute(
        "UPDATE feature_flags SET value = '\"one\"'; UPDATE control_epoch SET epoch = 2"
    )
    await connection.close()
    await agent.beat(2)
    await agent.turn()

    assert ("one", 2) == (agent.says(), agent.control.epoch)


async def test_without_any_store_the_last_known_values_stand(
    own_postgres: Postgres,
    own_redis: Valkey,
    tmp_path: Path,
) -> None:
    """Both die under a running agent, which says STALE; when they are back, it is told what
    changed.
    """
    url = await prepared(own_postgres)
    async with (
        member(url, own_redis.url) as agent,
        operator(url, own_redis.url) as flags,
    ):
        await say(flags, "back at ten")
        await agent.turn()
        own_postgres.kill()
        own_redis.kill()
        await agent.beat(0)

        assert ("back at ten", True) == (agent.says(), agent.control.stale)

        own_postgres.start()
        own_redis.start()
        await say(flags, "back at noon")

        async with asyncio.timeout(10):
            while agent.says() != "back at noon":
                await agent.beat(3)
                await asyncio.sleep(0.01)

        assert not agent.control.stale


async def test_an_instance_that_only_beats_says_stale_when_both_stores_are_gone(
    own_postgres: Postgres,
    own_redis: Valkey,
) -> None:
    """And no more once they are back; Redis alone is enough not to be stale."""
    world = EngineHarness(await prepared(own_postgres), own_redis.url, beat=0.05)
    async with world.instance() as instance:
        control = instance.ports.control

        assert isinstance(control, RedisControl)

        changed = asyncio.Event()
        control.watchers.append(changed.set)
        own_postgres.kill()

        with pytest.raises(StoreUnavailable):
            await instance.engine.accept(world.message("hello"))

        assert not control.stale

        own_redis.kill()

        async with asyncio.timeout(20):
            await changed.wait()

        assert control.stale

        changed.clear()
        own_postgres.start()
        own_redis.start()

        async with asyncio.timeout(20):
            await changed.wait()

        assert not control.stale


async def test_a_start_without_stores_takes_the_copy_on_disk(
    own_postgres: Postgres,
    own_redis: Valkey,
    tmp_path: Path,
) -> None:
    """The copy is of the last change that was applied; one that is damaged is none: then
    the defaults stand.
    """
    url, file = await prepared(own_postgres), tmp_path / "home" / disk_copy.FILE

    async with (
        member(url, own_redis.url, file) as agent,
        operator(url, own_redis.url) as flags,
    ):
        await say(flags, "back at ten")
        await try_out(url, own_redis.url)
        await agent.turn()

    own_postgres.kill()
    own_redis.kill()

    assert 0o600 == file.stat().st_mode & 0o777

    async with member(url, own_redis.url, file) as again:
        assert ("back at ten", "tried", True) == (
            again.says(),
            again.says(SLACK),
            again.control.stale,
        )

    file.write_bytes(file.read_bytes().replace(b"ten", b"two"))

    async with member(url, own_redis.url, file) as damaged:
        assert (SWITCHED_OFF, True, 0) == (
            damaged.says(),
            damaged.control.stale,
            damaged.control.epoch,
        )


async def test_a_start_without_postgres_takes_what_redis_has(
    own_postgres: Postgres,
    redis_url: str,
    tmp_path: Path,
) -> None:
    """And when Postgres is back, the truth is read before anything is believed to be confirmed."""
    url = await prepared(own_postgres)

    async with member(url, redis_url), operator(url, redis_url) as flags:
        await say(flags, "back at ten")

    own_postgres.kill()

    async with member(url, redis_url, tmp_path / "nothing") as agent:
        assert ("back at ten", True) == (agent.says(), agent.control.stale)

        own_postgres.start()

        async with asyncio.timeout(10):
            while agent.control.stale:
                await agent.beat(2)
                await asyncio.sleep(0.01)

        assert "back at ten" == agent.says()


async def losses(
    flags: FlagAdmin,
    agents: list[Member],
    flushes: int,
    evictions: int,
    evaluations: int,
) -> None:
    """Evaluations of every agent at all times give the last value set, or the one before
    while it is being set.
    """
    rng, allowed, done, asked, wrong = random.Random(4), {SWITCHED_OFF}, False, 0, 0

    async def evaluate(agent: Member) -> None:
        nonlocal wrong, asked
        while asked < evaluations or not damaging.done():
            asked, wrong = asked + 1, wrong + (agent.says() not in allowed)
            if asked % 50 == 0:
                await agent.turn()

    async def damage() -> None:
        for number in range(flushes + evictions):
            if number < flushes:
                await agents[0].redis.flushall()
            else:
                await agents[0].redis.delete(
                    rng.choice(["features:global", "features:channel:discord"])
                )
            await asyncio.sleep(0)

    async def change() -> None:
        nonlocal allowed
        number = 0
        while not done:
            number += 1
            allowed = {*list(allowed)[-1:], str(number)}
            await say(flags, str(number))
            await asyncio.gather(*(agent.turn() for agent in agents))
            allowed = {str(number)}

    changing = asyncio.create_task(change())
    damaging = asyncio.create_task(damage())
    await asyncio.gather(damaging, *map(evaluate, agents))
    done = True
    await changing
    last = (await flags.get("maintenance_message")).rules["global"]
    async with asyncio.timeout(SOON_SECONDS):
        while [agent.says() for agent in agents] != [last] * len(agents):
            # one in which Redis was too slow to answer shows nothing new
            await asyncio.gather(*(agent.turn() for agent in agents))

    assert 0 == wrong


async def test_flushes_and_evictions_change_no_value(
    flags: FlagAdmin,
    agent: Member,
    database_url: str,
    redis_url: str,
) -> None:
    """30 × FLUSHALL and 300 single evictions while two agents evaluate and an operator
    changes: 0 wrong, 0 lost.
    """
    async with member(database_url, redis_url) as other:
        await losses(flags, [agent, other], 30, 300, 30_000)


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_a_million_evaluations_under_flushes_and_evictions(
    flags: FlagAdmin,
    agent: Member,
    database_url: str,
    redis_url: str,
) -> None:
    """1,000 × FLUSHALL and 10,000 single evictions while 10⁶ evaluations run: 0 wrong, 0 lost."""
    async with member(database_url, redis_url) as other:
        await losses(flags, [agent, other], 1_000, 10_000, 1_000_000)


async def test_a_crowd_after_flushall_reads_the_state_twice_at_most(
    agent: Member, redis_url: str
) -> None:
    """Whoever comes while one reads waits for the next read, and shares it."""
    reads = Reads(agent.control)
    await asyncio.gather(*(agent.control.observe(-1) for _ in range(1_000)))

    assert 1 <= reads.count <= 2


async def test_what_was_seen_before_a_read_began_is_not_answered_by_an_older_one(
    flags: FlagAdmin, agent: Member
) -> None:
    """The read under way may have missed the change: another one begins."""
    known = agent.control.epoch
    reads = Reads(agent.control, slow=True)
    first = asyncio.create_task(agent.control.observe(-1))
    await reads.begun.wait()
    await say(flags, "new")
    await agent.control.observe(known + 1)
    await first

    assert (agent.control.epoch, agent.says()) == (known + 1, "new")


class Reads:
    """Counts what this control asks Postgres; `slow`: the first answer is an old one."""

    def __init__(self, control: RedisControl, *, slow: bool = False) -> None:
        self.count = 0
        self.begun = asyncio.Event()
        self._truth, self._slow = control._truth, slow
        control._truth = self._counted  # type: ignore[method-assign]

    async def _counted(self, epoch: int) -> ControlSnapshot:
        self.count += 1
        found = await self._truth(epoch)
        self.begun.set()
        if self._slow and self.count == 1:
            await asyncio.sleep(0.3)

        return found
