"""How the stores are: warnings for people, gauges for `/metrics`."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from agent import metrics
from agent.core.background import run_in_background
from agent.core.errors import AgentError
from agent.operations.backups import backup_folder
from agent.settings import Settings
from storage.migrate.stores import OpenStores
from storage.postgres import GONE
from storage.reports.load import (
    IndexLoad,
    PostgresLoad,
    RedisLoad,
    TableLoad,
    postgres_load,
    redis_load,
)

LOOK_SECONDS = 60.0
"""Between two looks for the gauges: some statements over statistics, no table is read."""

ENOUGH_READS = 1000
"""Reads of Redis before a hit rate says anything."""

GOOD_HIT_RATE = 0.8
FULL_DISK = 0.9
CLOCK_SECONDS = 1.0
REPLICA_SECONDS = 10.0
REPLICA_BYTES = 64 << 20
"""Of the log: a standby that replays nothing reports no time."""

TRANSACTION_SECONDS = 600.0
"""The agent's own take seconds; a backup of a large database may take this long."""

UNUSED_BYTES = 64 << 20
"""An index that nobody reads by is worth a word from this size on."""

STATISTICS_SECONDS = 7 * 86400.0
"""Before that, an index that nobody read may be one for a report on Mondays."""

UNUSED_SHOWN = 5
"""So many unused indexes are named; the rest is counted."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Warned:
    """Something about a store that an operator should look at. `part`: `postgres`, `redis` …"""

    part: str
    sentence: str


def postgres_warnings(load: PostgresLoad) -> Iterator[Warned]:
    """What is odd with Postgres."""
    if load.blocked:
        yield Warned(
            "locks",
            f"{load.blocked} sessions wait for a lock that another one holds: see "
            "pg_stat_activity and pg_blocking_pids().",
        )
    if load.oldest_transaction > TRANSACTION_SECONDS:
        yield Warned(
            "transactions",
            f"A transaction is open for {load.oldest_transaction:.0f} s: until it ends, dead "
            "rows stay.",
        )
    if abs(load.clock_ahead) > CLOCK_SECONDS:
        where = "ahead of" if load.clock_ahead > 0 else "behind"
        yield Warned(
            "clock",
            f"The clock of Postgres is {abs(load.clock_ahead):.1f} s {where} this machine's: "
            "let both follow NTP.",
        )
    for replica in load.replicas:
        behind = replica.bytes or 0
        if replica.seconds > REPLICA_SECONDS or behind > REPLICA_BYTES:
            yield Warned(
                "replicas",
                f"The standby {replica.name} is {replica.seconds:.0f} s and "
                f"{behind >> 20} MiB behind.",
            )
    if unused := [index.name for index in unused_indexes(load)]:
        yield Warned(
            "indexes",
            f"Nobody reads by {_named(unused)} since the statistics were reset.",
        )


def _named(names: Sequence[str]) -> str:
    more = len(names) - UNUSED_SHOWN
    shown = ", ".join(names[:UNUSED_SHOWN])

    return f"{shown} and {more} more" if more > 0 else shown


def is_old_enough(load: PostgresLoad) -> bool:
    """Whether the statistics can tell that nobody reads by an index."""
    return load.statistics_age >= STATISTICS_SECONDS


def unused_indexes(load: PostgresLoad) -> list[IndexLoad]:
    """Indexes that cost room and every write, and give nothing."""
    return [
        index
        for index in load.indexes
        if is_old_enough(load)
        and not index.scans
        and not index.needed
        and index.bytes >= UNUSED_BYTES
    ]


def redis_warnings(load: RedisLoad) -> Iterator[Warned]:
    """What is odd with Redis. Nothing of it changes an answer; all of it makes them slower."""
    if load.evicted:
        yield Warned(
            "evictions",
            f"Redis threw {load.evicted} keys away for want of memory: raise its maxmemory.",
        )
    enough = load.hits + load.misses >= ENOUGH_READS
    if enough and load.hit_rate is not None and load.hit_rate < GOOD_HIT_RATE:
        yield Warned(
            "hit rate",
            f"Redis found {load.hit_rate:.0%} of what it was asked for; usual is more than "
            f"{GOOD_HIT_RATE:.0%}.",
        )


def disk_warnings(settings: Settings) -> Iterator[Warned]:
    """Of this machine's disks; a server's own are out of sight."""
    for path, used in disks(settings).items():
        if used > FULL_DISK:
            yield Warned("disk", f"The disk of {path} is {used:.0%} full.")


def disks(settings: Settings) -> Mapping[Path, float]:
    """How full the disks of the agent's folders are, from 0 to 1, each once."""
    found: dict[int, tuple[Path, float]] = {}
    for folder in (settings.agent_home, backup_folder(settings)):
        if folder.exists():
            usage = shutil.disk_usage(folder)
            share = usage.used / (usage.used + usage.free)
            found.setdefault(folder.stat().st_dev, (folder, share))

    return dict(found.values())


def watch_stores(
    settings: Settings, stores: OpenStores
) -> AbstractAsyncContextManager[None]:
    """Inside, the gauges of the stores are kept true."""
    return run_in_background(_watch, settings, stores)


async def _watch(settings: Settings, stores: OpenStores) -> None:
    while True:
        try:
            await measure(settings, stores)
        except (AgentError, SQLAlchemyError, asyncpg.PostgresError, *GONE) as error:
            log.debug("stores were not measured", error=type(error).__name__)
        # whatever it is: figures are no reason to stop
        except Exception as error:
            log.exception("stores were not measured", error=type(error).__name__)

        await asyncio.sleep(LOOK_SECONDS)


async def measure(settings: Settings, stores: OpenStores) -> None:
    """Looks once and sets all gauges. Raises what the driver raises."""
    redis = await redis_load(stores.pipe)
    if redis is not None:
        _put_facts(_redis_facts(redis))
    _put(
        "disk_used_ratio",
        ((str(path), used) for path, used in disks(settings).items()),
    )

    postgres = await postgres_load(stores.database_url)
    _put_facts(_postgres_facts(postgres))
    _put("postgres_connections", postgres.connections.items())
    _put(
        "postgres_replica_lag_seconds",
        ((replica.name, replica.seconds) for replica in postgres.replicas),
    )
    _put(
        "postgres_replica_lag_bytes",
        ((replica.name, replica.bytes or 0) for replica in postgres.replicas),
    )
    for name, amount in _TABLE_GAUGES.items():
        _put(name, ((table.name, amount(table)) for table in postgres.tables))


_TABLE_GAUGES: Mapping[str, Callable[[TableLoad], int]] = {
    "postgres_table_bytes": lambda table: table.bytes,
    "postgres_index_bytes": lambda table: table.index_bytes,
    "postgres_live_rows": lambda table: table.rows,
    "postgres_dead_rows": lambda table: table.dead,
}


def _postgres_facts(load: PostgresLoad) -> Mapping[str, float]:
    unused = unused_indexes(load)

    return {
        "postgres_max_connections": load.maximum,
        "postgres_database_bytes": load.bytes,
        "postgres_blocked_sessions": load.blocked,
        "postgres_oldest_transaction_seconds": load.oldest_transaction,
        "postgres_clock_ahead_seconds": load.clock_ahead,
        "postgres_unused_indexes": len(unused),
        "postgres_unused_index_bytes": sum(index.bytes for index in unused),
    }


def _redis_facts(load: RedisLoad) -> Mapping[str, float]:
    return {
        "redis_hits": load.hits,
        "redis_misses": load.misses,
        "redis_memory_bytes": load.memory,
        "redis_max_memory_bytes": load.max_memory,
        "redis_evicted_keys": load.evicted,
        "redis_slow_commands": load.slow_count,
    }


def _put_facts(facts: Mapping[str, float]) -> None:
    for name, value in facts.items():
        metrics.STORES[name].put(float(value))


def _put(name: str, values: Iterable[tuple[str, float]]) -> None:
    """By the one label of this gauge. What is not among the values is no more."""
    new: dict[tuple[str, ...], float] = {
        (label,): float(value) for label, value in values
    }
    gauge = metrics.STORES[name]
    gauge.values.clear()
    gauge.values.update(new)
