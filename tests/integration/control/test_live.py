"""Flags outlive their stores: what Redis forgets, halves, keeps too long or never had
changes no value.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from agent.control.experiments import Experiment, Variant
from agent.control.flags import MAINTENANCE_MESSAGE, REPLIES, SWITCHED_OFF
from agent.control.rules import EVERYBODY, Audience, resolve
from agent.core.errors import StoreUnavailable
from storage.control import disk_copy, redis_copy
from storage.control.flags import FlagAdmin
from storage.control.live import RedisControl, follow_changes
from storage.control.state import ControlSnapshot
from storage.control.targets import RuleTarget
from storage.postgres import connect, open_database
from storage.redis import RedisPipe, open_redis
from tests.support.engine_harness import EngineHarness
from tests.support.operators import ADA, experimenter, operator
from tests.support.operators import EVERYBODY as TO_ALL
from tests.support.servers import Postgres, Valkey

DISCORD = Audience(None, "discord")


@dataclass
class Member:
    """The control of one instance."""

    control: RedisControl
    pipe: RedisPipe

    def says(self, who: Audience = EVERYBODY) -> Any:
        """The value of maintenance_message, as evaluated in the process."""
        state = self.control.state
        return resolve(
            MAINTENANCE_MESSAGE, state.rules_of(MAINTENANCE_MESSAGE.name), who
        ).value

    async def turn(self) -> None:
        """What a turn does: it sees the epoch that Redis has."""
        replies = await self.pipe.send(("HGET", redis_copy.HASH, "_epoch"))
        if replies is not None:
            seen = replies[0]
            await self.control.observe(
                int(seen) if isinstance(seen, bytes) and seen.isdigit() else 0
            )

    async def beat(self, epoch: int) -> None:
        """What a heartbeat does: it sees the epoch that Postgres has."""
        await self.control.observe(epoch)

    @property
    def redis(self) -> Redis:
        return self.pipe.client


@asynccontextmanager
async def member(
    database_url: str, redis_url: str, file: Path | None = None
) -> AsyncIterator[Member]:
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        control = RedisControl(database, pipe, file)
        await control.start()
        yield Member(control, pipe)


@pytest.fixture
async def desk(database_url: str, redis_url: str) -> AsyncIterator[FlagAdmin]:
    async with operator(database_url, redis_url) as desk:
        yield desk


@pytest.fixture
async def agent(database_url: str, redis_url: str) -> AsyncIterator[Member]:
    async with member(database_url, redis_url) as one:
        yield one


async def say(desk: FlagAdmin, text: str, target: RuleTarget = TO_ALL) -> None:
    await desk.set("maintenance_message", target, text, ADA)


TO_SLACK = Experiment(
    "look",
    "maintenance_message",
    "salt",
    (Variant("one", 1, "tried"), Variant("two", 1, "tried")),
    channels=frozenset({"slack"}),
)
SLACK = Audience(UUID(int=1), "slack")


async def try_out(database_url: str, redis_url: str) -> None:
    """From now on everybody on Slack takes part in an experiment. Two epochs."""
    async with experimenter(database_url, redis_url) as desk:
        await desk.create(TO_SLACK, ADA)
        await desk.start("look", ADA)


async def until(condition: Any, deadline: float = 10.0) -> None:
    async with asyncio.timeout(deadline):
        while not condition():
            await asyncio.sleep(0)


async def test_the_next_turn_obeys_a_change(desk: FlagAdmin, agent: Member) -> None:
    await say(desk, "back at ten")
    assert agent.says() == SWITCHED_OFF
    await agent.turn()
    assert agent.says() == "back at ten"


async def test_an_idle_instance_obeys_without_a_turn(
    desk: FlagAdmin, agent: Member
) -> None:
    """Who makes a change publishes it; the listener is told first, then nothing else
    happens but the change.
    """
    async with follow_changes(agent.pipe, agent.control):
        while await agent.redis.pubsub_numsub(redis_copy.NEWS) != [
            (redis_copy.NEWS.encode(), 1)
        ]:
            await asyncio.sleep(0)
        await say(desk, "back at ten")
        await until(lambda: agent.says() == "back at ten")


async def test_a_listener_survives_what_others_publish(
    desk: FlagAdmin, agent: Member
) -> None:
    async with follow_changes(agent.pipe, agent.control):
        while not await agent.redis.publish(redis_copy.NEWS, "nonsense"):
            await asyncio.sleep(0)
        await say(desk, "back at ten")
        await until(lambda: agent.says() == "back at ten")


async def test_the_hashes_are_those_of_the_specification(
    desk: FlagAdmin, agent: Member
) -> None:
    """`features:global` and `features:channel:<name>`: a field a flag, its value as JSON,
    with epoch and count.
    """
    await desk.set("max_conversation_length", TO_ALL, 100, ADA)
    await desk.set("enable_slash_commands", RuleTarget(channel="discord"), True, ADA)
    everywhere = await agent.redis.hgetall("features:global")
    discord = await agent.redis.hgetall("features:channel:discord")
    assert (b"100", b"3", b"1") == (
        everywhere[b"max_conversation_length"],
        everywhere[b"_epoch"],
        everywhere[b"_count"],
    )
    assert (b"true", b"3", b"1") == (
        discord[b"enable_slash_commands"],
        discord[b"_epoch"],
        discord[b"_count"],
    )
    assert 0 < await agent.redis.ttl("features:channel:discord") <= redis_copy.SECONDS


async def test_a_running_experiment_has_a_hash(
    desk: FlagAdmin, agent: Member, database_url: str, redis_url: str
) -> None:
    """`ab_test:<name>`: the parts of its definition as JSON, written whole; gone when the
    experiment has ended.
    """
    await try_out(database_url, redis_url)
    fields = await agent.redis.hgetall("ab_test:look")
    assert (b'"maintenance_message"', b"100.0", b'["slack"]') == (
        fields[b"flag"],
        fields[b"share"],
        fields[b"channels"],
    )
    assert (b"3", b"8") == (fields[b"_epoch"], fields[b"_count"])
    assert 0 < await agent.redis.ttl("ab_test:look") <= redis_copy.SECONDS
    async with experimenter(database_url, redis_url) as operators:
        await operators.stop("look", ADA)
    assert (0, b"[]") == (
        await agent.redis.exists("ab_test:look"),
        await agent.redis.hget("features:global", "_experiments"),
    )


async def test_an_experiment_of_another_version_is_left_out(
    agent: Member, database_url: str, redis_url: str
) -> None:
    """What this version can not read of it is no reason to lose the rest."""
    await try_out(database_url, redis_url)
    connection = await connect(database_url)
    await connection.execute(
        "UPDATE experiments SET definition = definition - 'share' || '{\"parts\": [1, 2]}'"
    )
    await connection.execute(
        "INSERT INTO experiments (name, definition, started_at) VALUES ('odd', '[]', now())"
    )
    await connection.execute("UPDATE control_epoch SET epoch = epoch + 1")
    await connection.close()
    await agent.redis.flushall()
    await agent.beat(4)
    assert (SWITCHED_OFF, 4) == (agent.says(SLACK), agent.control.epoch)
    assert agent.control.state.stored == await redis_copy.read(
        agent.pipe, at_least=4, lineage=None
    )


async def test_an_instance_reads_experiments_from_redis_alone(
    agent: Member, database_url: str, redis_url: str, postgres: Postgres
) -> None:
    await try_out(database_url, redis_url)
    postgres.kill()
    await agent.turn()
    postgres.start()
    assert ("tried", False) == (agent.says(SLACK), agent.control.stale)


def test_a_copy_on_disk_of_an_older_version_is_read(tmp_path: Path) -> None:
    """It has no experiments."""
    body = b'{"epoch":7,"lineage":"here","flags":[["global","replies",false]],"channels":[]}'
    file = tmp_path / disk_copy.FILE
    file.write_bytes(sha256(body).hexdigest().encode() + b"\n" + body)
    assert ControlSnapshot(
        7, "here", [("global", "replies", False)], [], []
    ) == disk_copy.load(file)


async def test_a_new_instance_of_an_epoch_reads_redis_alone(
    desk: FlagAdmin, agent: Member, postgres: Postgres
) -> None:
    """The change is read from the hashes: Postgres is gone when it is applied."""
    await say(desk, "back at ten", RuleTarget(channel="discord"))
    postgres.kill()
    await agent.turn()
    postgres.start()
    assert (agent.says(DISCORD), agent.control.stale) == ("back at ten", False)


@pytest.fixture
def postgres(_postgres: Postgres) -> Postgres:
    return _postgres


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
    desk: FlagAdmin,
    agent: Member,
    damage: tuple[str, ...],
    database_url: str,
    redis_url: str,
) -> None:
    """Whatever happened to the hashes of a change before it was read: its values come from
    Postgres, and go back.
    """
    await say(desk, "to all")
    await say(desk, "to discord", RuleTarget(channel="discord"))
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
    desk: FlagAdmin, agent: Member
) -> None:
    """Neither in Redis, when a slow writer comes late, nor in a process that sees an old
    copy of Redis.
    """
    old = agent.control.state.stored
    await say(desk, "newer")
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
    desk: FlagAdmin, agent: Member
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
    await say(desk, "ours")
    await agent.turn()
    await redis_copy.write(agent.pipe, other)
    await agent.turn()
    assert "ours" == agent.says()
    assert agent.control.state.stored == await redis_copy.read(
        agent.pipe, at_least=0, lineage=None
    )


async def test_a_database_that_was_set_back_is_obeyed(
    database_url: str, desk: FlagAdmin, agent: Member
) -> None:
    """After a restore the epoch is lower than what Redis and the process have: the truth
    still wins.
    """
    for text in ("one", "two", "three"):
        await say(desk, text)
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
    own_postgres: Postgres, own_redis: Valkey, tmp_path: Path
) -> None:
    """Both die under a running agent, which says STALE; when they are back, it is told what
    changed.
    """
    url = await prepared(own_postgres)
    async with (
        member(url, own_redis.url) as agent,
        operator(url, own_redis.url) as desk,
    ):
        await say(desk, "back at ten")
        await agent.turn()
        own_postgres.kill()
        own_redis.kill()
        await agent.beat(0)
        assert ("back at ten", True) == (agent.says(), agent.control.stale)
        own_postgres.start()
        own_redis.start()
        await say(desk, "back at noon")
        async with asyncio.timeout(10):
            while agent.says() != "back at noon":
                await agent.beat(3)
                await asyncio.sleep(0.01)
        assert not agent.control.stale


async def test_an_instance_that_only_beats_says_stale_when_both_stores_are_gone(
    own_postgres: Postgres, own_redis: Valkey
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
    own_postgres: Postgres, own_redis: Valkey, tmp_path: Path
) -> None:
    """The copy is of the last change that was applied; one that is damaged is none: then
    the defaults stand.
    """
    url, file = await prepared(own_postgres), tmp_path / "home" / disk_copy.FILE
    async with (
        member(url, own_redis.url, file) as agent,
        operator(url, own_redis.url) as desk,
    ):
        await say(desk, "back at ten")
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
    own_postgres: Postgres, redis_url: str, tmp_path: Path
) -> None:
    """And when Postgres is back, the truth is read before anything is believed to be confirmed."""
    url = await prepared(own_postgres)
    async with member(url, redis_url), operator(url, redis_url) as desk:
        await say(desk, "back at ten")
    own_postgres.kill()
    async with member(url, redis_url, tmp_path / "nothing") as agent:
        assert ("back at ten", True) == (agent.says(), agent.control.stale)
        own_postgres.start()
        async with asyncio.timeout(10):
            while agent.control.stale:
                await agent.beat(2)
                await asyncio.sleep(0.01)
        assert "back at ten" == agent.says()


async def prepared(postgres: Postgres) -> str:
    """A database with the newest schema on a server that a test may kill."""
    from storage.migrate import upgrade

    await postgres.execute("CREATE DATABASE agent")
    await upgrade(postgres.url("agent"))
    return postgres.url("agent")


async def test_turns_that_see_a_change_at_once_read_it_once(
    desk: FlagAdmin, agent: Member
) -> None:
    await say(desk, "back at ten")
    before = agent.pipe.round_trips
    await asyncio.gather(*(agent.control.observe(2) for _ in range(50)))
    assert ("back at ten", 1) == (agent.says(), agent.pipe.round_trips - before)


async def losses(
    desk: FlagAdmin,
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
            await say(desk, str(number))
            await asyncio.gather(*(agent.turn() for agent in agents))
            allowed = {str(number)}

    changing = asyncio.create_task(change())
    damaging = asyncio.create_task(damage())
    await asyncio.gather(damaging, *map(evaluate, agents))
    done = True
    await changing
    await asyncio.gather(*(agent.turn() for agent in agents))
    last = (await desk.get("maintenance_message")).rules["global"]
    assert (0, [last] * len(agents)) == (wrong, [agent.says() for agent in agents])


async def test_flushes_and_evictions_change_no_value(
    desk: FlagAdmin, agent: Member, database_url: str, redis_url: str
) -> None:
    """30 × FLUSHALL and 300 single evictions while two agents evaluate and an operator
    changes: 0 wrong, 0 lost.
    """
    async with member(database_url, redis_url) as other:
        await losses(desk, [agent, other], 30, 300, 30_000)


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_a_million_evaluations_under_flushes_and_evictions(
    desk: FlagAdmin, agent: Member, database_url: str, redis_url: str
) -> None:
    """1,000 × FLUSHALL and 10,000 single evictions while 10⁶ evaluations run: 0 wrong, 0 lost."""
    async with member(database_url, redis_url) as other:
        await losses(desk, [agent, other], 1_000, 10_000, 1_000_000)


async def test_replies_are_on_unless_somebody_said_otherwise(agent: Member) -> None:
    assert (
        resolve(REPLIES, agent.control.state.rules_of("replies"), EVERYBODY).value
        is True
    )
