"""What is odd with a store shows in `agent db stats`, in `agent status` and in `/metrics`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr
from redis.asyncio import Redis

from agent import metrics
from agent.cli.stores.load import _show_indexes
from agent.operations.load import measure
from agent.operations.status import check_health
from agent.settings import Settings
from storage.backup.kept import own_folders
from storage.connecting.postgres import connect
from storage.migrate import upgrade
from storage.migrate.stores import OpenStores
from storage.postgres import open_database
from storage.redis import open_redis
from storage.reports import STATEMENTS
from storage.reports.load import (
    IndexLoad,
    PostgresLoad,
    ReplicaLoad,
    postgres_load,
    warnings,
)
from storage.reports.load.measured import _ahead
from storage.reports.load.plans import named_statements
from storage.reports.load.warnings import disk_warnings, postgres_warnings
from storage.reports.reading.snapshot import Connection
from tests.support.backups import fill, value
from tests.support.commands import Machine
from tests.support.servers import Postgres, Valkey
from tests.support.standby import standby_of

NO_AUTOVACUUM = """
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'messages'::regclass LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', part);
    END LOOP;
END $$
"""
"""Else Postgres may take dead rows away before they are counted."""

PRIVATE = "nobody else may read this"


@pytest.fixture
def settings(machine: Machine) -> Settings:
    return Settings(
        agent_home=machine.folder / "home",
        database_url=SecretStr(machine.variables["DATABASE_URL"]),
        redis_url=SecretStr(machine.variables["REDIS_URL"]),
    )


async def stats(machine: Machine) -> tuple[Any, list[str]]:
    """What `agent db stats` shows to a program, and the parts it warns of."""
    ended = await machine.agent("db", "stats", "--json")
    assert (0, "") == (ended.status, ended.err)
    shown = json.loads(ended.out)

    return shown, [one["part"] for one in shown["warnings"]]


async def in_status(settings: Settings) -> list[str]:
    """The parts of `agent status` that are slower."""
    return [one.part for one in await check_health(settings) if one.state == "slower"]


async def gauge(settings: Settings, name: str) -> dict[tuple[str, ...], float]:
    assert settings.database_url is not None
    assert settings.redis_url is not None

    async with (
        open_database(settings.database_url.get_secret_value()) as database,
        open_redis(settings.redis_url.get_secret_value()) as pipe,
    ):
        await measure(settings, OpenStores(database.url, "", database, pipe, ()))

    return metrics.STORES[name].values


def loaded(**changes: Any) -> PostgresLoad:
    """A Postgres with which all is well, but for these."""
    well = PostgresLoad(
        connections={"idle": 3},
        maximum=100,
        bytes=1,
        blocked=0,
        oldest_transaction=0.0,
        clock_ahead=0.0,
        statistics_age=0.0,
        tables=[],
        indexes=[],
        replicas=[],
    )

    return replace(well, **changes)


@asynccontextmanager
async def blocked(url: str) -> AsyncIterator[None]:
    """One transaction holds a row, and another one waits for it."""
    import asyncio

    holder, waiter = await connect(url), await connect(url)
    await holder.execute("BEGIN; UPDATE control_epoch SET epoch = epoch")
    waiting = asyncio.create_task(
        waiter.execute("UPDATE control_epoch SET epoch = epoch")
    )
    try:
        async with asyncio.timeout(15):
            while not (await postgres_load(url)).blocked:
                await asyncio.sleep(0.1)
        yield
    finally:
        await holder.execute("ROLLBACK")
        await waiting
        await holder.close()
        await waiter.close()


async def test_a_blocked_transaction_shows(
    machine: Machine, settings: Settings, database_url: str
) -> None:
    """While it waits, and not before."""
    before = (await stats(machine))[1]
    async with blocked(database_url):
        shown, warned = await stats(machine)
        slower = await in_status(settings)
        counted = await gauge(settings, "postgres_blocked_sessions")

    assert ([], ["locks"], ["locks"]) == (before, warned, slower)
    assert ({(): 1.0}, 1) == (counted, shown["postgres"]["blocked"])
    assert {(): 0.0} == await gauge(settings, "postgres_blocked_sessions")


async def test_an_unused_index_shows(
    machine: Machine, settings: Settings, database_url: str, monkeypatch: Any
) -> None:
    """Once it is large; one that keeps something unique is needed anyway."""
    await fill(database_url, people=1, each=2000)
    await value(database_url, "CREATE INDEX idle ON audit_log (actor, action, at)")
    await value(
        database_url, "CREATE UNIQUE INDEX needed ON audit_log (id, actor, action)"
    )
    monkeypatch.setattr(warnings, "UNUSED_BYTES", 1)
    young = await in_status(settings)
    monkeypatch.setattr(warnings, "STATISTICS_SECONDS", 0)
    monkeypatch.setattr(warnings, "UNUSED_SHOWN", 1000)
    shown, _ = await stats(machine)
    found = {index["name"]: index for index in shown["postgres"]["indexes"]}
    slower = await in_status(settings)
    (warned,) = [
        one.sentence
        for one in postgres_warnings(await postgres_load(database_url))
        if one.part == "indexes"
    ]
    counted = await gauge(settings, "postgres_unused_indexes")
    table = await machine.agent("db", "stats")

    assert (0, False, 0, True) == (
        *(found["idle"][part] for part in ("scans", "needed")),
        *(found["needed"][part] for part in ("scans", "needed")),
    )
    assert ("indexes" in slower, "idle" in warned, "needed" in warned) == (
        True,
        True,
        False,
    )
    assert "indexes" not in young
    assert counted[()] >= 1
    assert "more were not read in the 0.0 days of these statistics." in table.out
    assert "unused" not in table.out


def test_at_most_five_unused_indexes_are_named(capsys: Any) -> None:
    """The largest, and only once the statistics can tell; the rest is counted."""
    found = [IndexLoad(f"idle{n}", "messages", 1 << 30, 0, False) for n in range(12)]
    read = IndexLoad("read", "messages", 1, 9, False)
    for days, named in ((1, 0), (8, 5)):
        load = loaded(statistics_age=days * 86400, indexes=[*found, read])
        _show_indexes(load)
        shown = capsys.readouterr().out
        warned = [one.sentence for one in postgres_warnings(load)]

        assert named == shown.count("unused")
        assert f"{12 - named} more were not read in the {days}.0 days" in shown
        assert "read" in shown.split()
        assert [bool(named)] == [bool(warned)]

    assert "idle0, idle1, idle2, idle3, idle4 and 7 more since" in warned[0]


async def test_an_evicting_redis_shows(
    machine: Machine, settings: Settings, own_redis: Valkey
) -> None:
    """And what is in its slow log, without what was said."""
    machine.variables["REDIS_URL"] = own_redis.url
    settings = settings.model_copy(update={"redis_url": SecretStr(own_redis.url)})
    before = (await stats(machine))[1]
    async with Redis.from_url(own_redis.url) as client:
        await client.config_set("slowlog-log-slower-than", 0)
        await client.set("context:conv:1", PRIVATE)
        await client.config_set("slowlog-log-slower-than", 1_000_000)
        await client.config_set("maxmemory-policy", "allkeys-lru")
        await client.config_set("maxmemory", 3_000_000)
        for number in range(400):
            await client.set(f"filler:{number}", b"x" * 20_000)
        for number in range(1500):
            await client.get(f"nothing:{number}")

    shown, warned = await stats(machine)
    slower = await in_status(settings)
    counted = await gauge(settings, "redis_evicted_keys")

    assert ([], ["evictions", "hit rate"]) == (before, warned)
    assert ["evictions", "hit rate"] == slower
    # read later, by a command that may have made Redis evict one more
    assert counted[()] >= shown["redis"]["evicted"] > 0
    assert "SET" in {one["command"] for one in shown["redis"]["slow"]}
    assert PRIVATE not in json.dumps(shown)
    assert shown["redis"]["hit_rate"] < 0.8


async def test_a_lagging_standby_shows(
    machine: Machine, settings: Settings, own_postgres: Postgres
) -> None:
    """One that follows does not; one whose replay is held does, in bytes of the log."""
    async with standby_of(own_postgres) as standby, own_postgres.database() as url:
        await upgrade(url)
        machine.variables["DATABASE_URL"] = url
        settings = settings.model_copy(update={"database_url": SecretStr(url)})
        before = (await stats(machine))[1]
        await standby.execute("SELECT pg_wal_replay_pause()")
        await fill(url, people=20, each=15_000)
        shown, warned = await stats(machine)
        slower = await in_status(settings)
        lag = await gauge(settings, "postgres_replica_lag_seconds")
        behind = await gauge(settings, "postgres_replica_lag_bytes")
        seconds = [await lag_of(standby) async for _ in cut_off(standby)]

    assert seconds[0] == 0
    assert seconds[-1] > 0.2
    (replica,) = shown["postgres"]["replicas"]
    assert ([], ["replicas"], ["replicas"]) == (before, warned, slower)
    assert replica["bytes"] > 64 << 20
    assert [(replica["name"],)] == [*lag]
    assert behind[replica["name"],] > 64 << 20


async def cut_off(standby: Connection) -> AsyncIterator[None]:
    """Once it has applied all, and once it receives nothing any more."""
    caught_up = "SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()"
    await standby.execute("SELECT pg_wal_replay_resume()")
    while not await standby.fetchval(caught_up):
        await asyncio.sleep(0.1)
    yield

    await standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
    await standby.execute("SELECT pg_reload_conf()")
    while await standby.fetchval("SELECT count(*) FROM pg_stat_wal_receiver"):
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.3)
    yield


async def lag_of(standby: Connection) -> float:
    return float(await standby.fetchval(STATEMENTS["replica_lag"]))


@pytest.mark.parametrize(
    ("there", "ahead"), [(10.2, 0.0), (12.5, 2.0), (8.0, -2.0), (10.5, 0.0)]
)
def test_a_clock_is_off_by_at_least_what_the_round_trip_does_not_explain(
    there: float, ahead: float
) -> None:
    """It was read between the question and the answer."""
    assert ahead == _ahead(there, asked=10.0, answered=10.5)


def test_a_lagging_standby_and_a_wrong_clock_are_named() -> None:
    """Each in one sentence with a number; one that replays nothing reports no time."""
    found = loaded(
        oldest_transaction=3600.0,
        clock_ahead=-2.5,
        replicas=[
            ReplicaLoad("far", 75.0, None),
            ReplicaLoad("stopped", 0.0, 100 << 20),
            ReplicaLoad("near", 0.2, 10),
        ],
    )

    assert [
        "A transaction is open for 3600 s: until it ends, dead rows stay.",
        "The clock of Postgres is 2.5 s behind this machine's: let both follow NTP.",
        "The standby far is 75 s and 0 MiB behind.",
        "The standby stopped is 0 s and 100 MiB behind.",
    ] == [one.sentence for one in postgres_warnings(found)]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    """Each disk once."""
    settings = Settings(agent_home=tmp_path, backup_dir=tmp_path)
    monkeypatch.setattr(
        "storage.reports.load.warnings.shutil.disk_usage",
        lambda _path: type("Usage", (), {"used": 95, "free": 5}),
    )

    assert [("disk", f"The disk of {tmp_path} is 95% full.")] == [
        (one.part, one.sentence) for one in disk_warnings(own_folders(settings))
    ]


async def test_sizes_and_dead_rows_are_told_by_table(
    machine: Machine, settings: Settings, database_url: str
) -> None:
    """Partitions each for themselves, to programs and to people alike."""
    await fill(database_url, people=1, each=200)
    await value(database_url, NO_AUTOVACUUM)
    await value(database_url, "DELETE FROM messages WHERE seq > 100")
    await value(database_url, "ANALYZE")
    shown, _ = await stats(machine)
    messages = [
        one
        for one in shown["postgres"]["tables"]
        if one["name"].startswith("messages_")
    ]
    dead = await gauge(settings, "postgres_dead_rows")

    assert 100 == sum(one["rows"] for one in messages)
    assert 100 == sum(one["dead"] for one in messages)
    assert {(one["name"],): float(one["dead"]) for one in messages} == {
        name: count for name, count in dead.items() if name[0].startswith("messages_")
    }
    assert sum(shown["postgres"]["connections"].values()) >= 1


async def test_statements_are_told_by_their_names(
    machine: Machine, database_url: str
) -> None:
    """And how to install what counts them, where it is missing."""
    missing = await machine.agent("db", "queries")
    await value(database_url, "CREATE EXTENSION pg_stat_statements")
    await machine.agent("status")
    found = await machine.agent("db", "queries", "--json")
    names = {one["name"] for one in json.loads(found.out)}

    assert (1, "", 1) == (missing.status, missing.out, missing.err.count("\n"))
    assert "CREATE EXTENSION pg_stat_statements" in missing.err

    own = {"DATABASE_URL": "", "REDIS_URL": ""}
    embedded = await machine.agent("db", "queries", settings=own)
    assert (1, "", 1) == (embedded.status, embedded.out, embedded.err.count("\n"))
    assert "The embedded Postgres does not count statements" in embedded.err
    assert {"open_turns", "live_instances"} <= names <= set(named_statements())


NO_PLAN = {
    "wait_briefly",
    "make_erasures",
    "erase_again",
    "queries",
}  # only set something, make a table, or have text put in; reads what is not installed


async def test_every_statement_has_a_plan(
    machine: Machine, database_url: str
) -> None:
    """Each by its name, and nothing is run."""
    from storage.reports.load.plans import plan_of

    plans = {
        name: await plan_of(database_url, name, by_index=True)
        for name in set(named_statements()) - NO_PLAN
    }
    before = await value(database_url, "SELECT count(*) FROM instances")
    shown = await machine.agent("db", "explain", "beat")
    unknown = await machine.agent("db", "explain", "beet")
    none = await machine.agent("db", "explain", "wait_briefly")

    assert [] == [name for name, lines in plans.items() if "cost=" not in lines[0]]
    assert (0, True) == (shown.status, "Insert on instances" in shown.out)
    assert before == await value(database_url, "SELECT count(*) FROM instances")
    assert (2, True) == (unknown.status, "Perhaps beat" in unknown.err)
    assert [] == [name for name in named_statements() if name not in unknown.err]
    assert (2, True) == (none.status, "has no plan" in none.err)
