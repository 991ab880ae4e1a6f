"""Changes by operators reach every instance: by the next turn, by a message, by a heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from agent.control.flags import REPLIES, SWITCHED_OFF
from agent.control.rules import EVERYBODY, resolve
from storage.control import disk_copy, redis_copy
from storage.control.flags import FlagAdmin
from storage.control.live import follow_changes
from storage.control.state import ControlSnapshot
from storage.control.targets import RuleTarget
from storage.postgres import connect
from tests.support.control import (
    DISCORD,
    SLACK,
    Member,
    member,
    say,
    try_out,
    until,
)
from tests.support.operators import ADA, experimenter
from tests.support.operators import EVERYBODY as TO_ALL
from tests.support.servers import Postgres


@pytest.fixture
async def agent(database_url: str, redis_url: str) -> AsyncIterator[Member]:
    async with member(database_url, redis_url) as one:
        yield one


async def test_the_next_turn_obeys_a_change(flags: FlagAdmin, agent: Member) -> None:
    await say(flags, "back at ten")

    assert agent.says() == SWITCHED_OFF

    await agent.turn()

    assert agent.says() == "back at ten"


async def test_an_idle_instance_obeys_without_a_turn(
    flags: FlagAdmin,
    agent: Member,
) -> None:
    """An instance that makes a change publishes it; the listener is told first, then nothing else
    happens but the change.
    """
    async with follow_changes(agent.pipe, agent.control):
        while await agent.redis.pubsub_numsub(redis_copy.NEWS) != [
            (redis_copy.NEWS.encode(), 1)
        ]:
            await asyncio.sleep(0)

        await say(flags, "back at ten")
        await until(lambda: agent.says() == "back at ten")


async def test_a_listener_survives_what_others_publish(
    flags: FlagAdmin,
    agent: Member,
) -> None:
    async with follow_changes(agent.pipe, agent.control):
        while not await agent.redis.publish(redis_copy.NEWS, "nonsense"):
            await asyncio.sleep(0)

        await say(flags, "back at ten")
        await until(lambda: agent.says() == "back at ten")


async def test_the_hashes_are_those_of_the_specification(
    flags: FlagAdmin,
    agent: Member,
) -> None:
    """`features:global` and `features:channel:<name>`: a field a flag, its value as JSON,
    with epoch and count.
    """
    await flags.set("max_conversation_length", TO_ALL, 100, ADA)
    await flags.set("enable_slash_commands", RuleTarget(channel="discord"), True, ADA)
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
    flags: FlagAdmin,
    agent: Member,
    database_url: str,
    redis_url: str,
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
    agent: Member,
    database_url: str,
    redis_url: str,
) -> None:
    """Something that this version cannot read is no reason to lose the rest."""
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
    agent: Member,
    database_url: str,
    redis_url: str,
    postgres: Postgres,
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
    flags: FlagAdmin,
    agent: Member,
    postgres: Postgres,
) -> None:
    """The change is read from the hashes: Postgres is gone when it is applied."""
    await say(flags, "back at ten", RuleTarget(channel="discord"))
    postgres.kill()
    await agent.turn()
    postgres.start()

    assert (agent.says(DISCORD), agent.control.stale) == ("back at ten", False)


async def test_turns_that_see_a_change_at_once_read_it_once(
    flags: FlagAdmin,
    agent: Member,
) -> None:
    await say(flags, "back at ten")
    before = agent.pipe.round_trips
    await asyncio.gather(*(agent.control.observe(2) for _ in range(50)))

    assert ("back at ten", 1) == (agent.says(), agent.pipe.round_trips - before)


async def test_replies_are_on_unless_somebody_said_otherwise(agent: Member) -> None:
    assert (
        resolve(REPLIES, agent.control.state.rules_of("replies"), EVERYBODY).value
        is True
    )
