"""How the stores are: gauges for `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager

import asyncpg
import structlog

from agent import metrics
from agent.core.background import run_in_background
from agent.core.errors import AgentError
from agent.settings import Settings
from storage.backup.kept import own_folders
from storage.migrate.stores import OpenStores
from storage.postgres import GONE
from storage.reports.load import (
    PostgresLoad,
    RedisLoad,
    TableLoad,
    postgres_load,
    redis_load,
)
from storage.reports.load.warnings import disks, unused_indexes

LOOK_SECONDS = 60.0
"""Between two looks for the gauges: some statements over statistics, no table is read."""

log = structlog.get_logger()


def watch_stores(
    settings: Settings, stores: OpenStores
) -> AbstractAsyncContextManager[None]:
    """Inside, the gauges of the stores are kept true."""
    return run_in_background(_watch, settings, stores)


async def _watch(settings: Settings, stores: OpenStores) -> None:
    while True:
        try:
            await measure(settings, stores)
        except (AgentError, asyncpg.PostgresError, *GONE) as error:
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
        ((str(path), used) for path, used in disks(own_folders(settings)).items()),
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
