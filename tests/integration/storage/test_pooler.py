"""Behind a pooler in transaction mode: found out by itself, and every promise kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from storage.connecting.postgres_url import pooled, read_postgres_url
from storage.connecting.requirements import check_connection
from storage.migrate import HEAD, current_revision, differences, downgrade, upgrade
from storage.postgres import WALK_INDEXES, PinnedConnection, connect
from storage.reports.experiment_figures import experiment_figures
from tests.support.commands import Machine
from tests.support.engine_harness import EngineHarness
from tests.support.experiment_data import NAME, ExperimentData
from tests.support.fleet.storm import storm
from tests.support.pgbouncer import BINARY, PgBouncer
from tests.support.servers import Postgres, running
from tests.support.warm import Warm

pytestmark = pytest.mark.skipif(BINARY is None, reason="pgbouncer is not installed")

IGNORED = (
    "extra_float_digits, jit, plan_cache_mode, enable_seqscan, "
    "enable_bitmapscan, enable_hashjoin, enable_mergejoin"
)


@pytest.fixture(scope="module")
def bouncer(_postgres: Postgres) -> Iterator[PgBouncer]:
    with running(PgBouncer(_postgres)) as server:
        yield server


def behind(bouncer: PgBouncer, database_url: str) -> str:
    """The same database, reached through the pooler."""
    return bouncer.url(urlsplit(database_url).path.removeprefix("/"))


@pytest.fixture
def url(bouncer: PgBouncer, database_url: str) -> str:
    return behind(bouncer, database_url)


@pytest.fixture
def machine(tmp_path: Path, url: str, redis_url: str, warm: Warm) -> Machine:
    return Machine(tmp_path, {"DATABASE_URL": url, "REDIS_URL": redis_url}, warm)


async def test_a_pooler_that_refuses_settings_is_found_out(
    url: str, database_url: str
) -> None:
    """And a server is not taken for one."""
    found, plain = await check_connection(url), await check_connection(database_url)
    assert (True, None) == (read_postgres_url(found.url).pooled, found.room)
    assert (False, database_url) == (read_postgres_url(plain.url).pooled, plain.url)


async def test_a_pooler_that_passes_over_settings_is_found_out(
    _postgres: Postgres, database_url: str
) -> None:
    with running(PgBouncer(_postgres, ignore_startup_parameters=IGNORED)) as lenient:
        found = await check_connection(behind(lenient, database_url))
    assert read_postgres_url(found.url).pooled


async def test_the_planner_is_told_for_each_statement_and_nothing_stays(
    url: str,
) -> None:
    """Whoever gets the session next has the server's own settings."""
    line = PinnedConnection(pooled(url), WALK_INDEXES)
    shown = (
        "SELECT current_setting('enable_sort') AS sort, "
        "current_setting('plan_cache_mode') AS mode"
    )
    [told] = await line.fetch(shown)
    with pytest.raises(asyncpg.DataError):
        await line.fetch("SELECT 1 / $1::int", 0)
    connections = [await connect(pooled(url)) for _ in range(4)]
    others = [await connection.fetchrow(shown) for connection in connections]
    for connection in connections:
        await connection.close()
    line.close()
    assert [("off", "force_generic_plan"), *[("on", "auto")] * 4] == [
        tuple(row or ()) for row in (told, *others)
    ]


async def test_statements_of_many_do_not_collide(url: str) -> None:
    """Outside a transaction, too: twelve connections share four sessions of the server."""

    async def ask(connection: asyncpg.Connection[asyncpg.Record], own: int) -> None:
        sql = f"SELECT {own} + $1::int"
        for number in range(40):
            found = [
                await connection.fetchval(sql, number),
                *(await connection.fetchrow(sql, number) or ()),
                *(await connection.fetch(sql, number))[0],
            ]
            assert [own + number] * 3 == found

    connections = [await connect(pooled(url)) for _ in range(12)]
    try:
        await asyncio.gather(
            *(ask(one, 1_000 * own) for own, one in enumerate(connections))
        )
    finally:
        for connection in connections:
            connection.terminate()


async def test_commands_work_without_being_told_of_the_pooler(
    machine: Machine,
) -> None:
    ran = [
        await machine.agent("chat", lines=b"one\ntwo\n"),
        await machine.agent("flags", "set", "replies", "off", "--yes"),
        await machine.agent("doctor"),
        await machine.agent("status"),
        await machine.agent("audit", "verify"),
    ]
    assert [0] * 5 == [ended.status for ended in ran], ran
    assert ("You said: two" in ran[0].out, "") == (True, ran[0].err)


async def test_the_doctor_says_beforehand_that_there_is_a_pooler(
    machine: Machine, url: str
) -> None:
    """All is well all the same. Once the URL says it, nothing is left to say."""
    found = await machine.agent("doctor")
    said = await machine.agent("doctor", settings={"DATABASE_URL": pooled(url)})

    assert (0, "", 1) == (found.status, found.err, found.out.count("\n"))
    assert "leads to a pooler in transaction mode" in found.out
    assert "Add pooled=true to DATABASE_URL" in found.out
    assert (0, "", "") == (said.status, said.err, said.out)


async def test_the_doctor_says_beforehand_that_no_backup_will_be_made(
    machine: Machine, url: str
) -> None:
    """Scheduled ones have no other way to Postgres."""
    for one in (url, pooled(url)):
        found = await machine.agent(
            "doctor", settings={"DATABASE_URL": one, "BACKUP_EVERY": "24"}
        )
        assert 1 == found.status
        assert "backups: A backup is not possible through a pooler" in found.out


async def test_the_schema_is_made_and_taken_back_through_it(
    bouncer: PgBouncer, empty_database_url: str
) -> None:
    url = pooled(behind(bouncer, empty_database_url))
    await upgrade(url)
    assert (HEAD, []) == (await current_revision(url), await differences(url))
    await downgrade(url, "base")
    assert await current_revision(url) is None


async def test_a_report_is_read_through_it(
    bouncer: PgBouncer, database_url: str
) -> None:
    """Its rows come by a cursor, which lives in one transaction."""
    lab = ExperimentData(database_url)
    await lab.experiment()
    people = [lab.person() for _ in range(30)]
    for person in people:
        lab.reply(person, "control")
    await lab.figures()
    url = pooled(behind(bouncer, database_url))
    figures = [await experiment_figures(url, NAME) for _ in range(3)]
    assert [30, 30, 30] == [
        sum(group.people for group in figure.groups.values()) for figure in figures
    ]


async def test_many_talk_at_once_over_few_sessions(url: str, redis_url: str) -> None:
    """Two instances have some thirty connections to the pooler, and it has four to the server."""
    world = EngineHarness(pooled(url), redis_url)
    async with world.instance() as one, world.instance() as two:
        for number in range(40):
            agent = (one, two)[number % 2]
            await agent.engine.accept(
                world.message(f"hello {number}", chat=f"chat {number}")
            )
        for number in range(40):
            await world.answered(f"chat {number}", f"re: hello {number}")


@pytest.mark.chaos
async def test_no_promise_breaks_behind_it(url: str, redis_url: str) -> None:
    """1,000 messages to three processes, one of which is killed and one frozen."""
    seed = random.randrange(10**6)
    assert {} == await storm(
        pooled(url), redis_url, seed=seed, chats=24, messages=1_000, kills=1, stalls=1
    )


async def test_a_thousand_turns_are_served_without_an_error(redis_url: str) -> None:
    """By three processes over four sessions of the server; neither server logs an error."""
    with (
        running(Postgres()) as postgres,
        running(PgBouncer(postgres)) as bouncer,
    ):
        await postgres.execute("CREATE DATABASE thousand")
        direct = postgres.url("thousand")
        await upgrade(direct)
        url = pooled(behind(bouncer, direct))
        broken = await storm(
            url, redis_url, seed=1, chats=1_000, messages=1_000, kills=0, stalls=0
        )
        probe = await connect(direct)
        served = await probe.fetchrow(
            "SELECT (SELECT count(*) FROM turns WHERE state = 'done') AS turns,"
            " (SELECT count(*) FROM platform WHERE sends = 1) AS once,"
            " (SELECT count(*) FROM platform) AS answers"
        )
        await probe.close()
        logs = [(one.folder / "log").read_text() for one in (postgres, bouncer)]

    assert ({}, (1_000, 1_000, 1_000)) == (broken, tuple(served or ()))
    assert [] == [
        line for log in logs for line in log.splitlines() if "ERROR" in line
    ]
