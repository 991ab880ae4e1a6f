"""How busy, large and healthy the stores are."""

from storage.reports.load.measured import (
    IndexLoad,
    PostgresLoad,
    QueryLoad,
    RedisLoad,
    ReplicaLoad,
    SlowCommand,
    TableLoad,
    postgres_load,
    query_load,
    redis_load,
)

__all__ = (
    "IndexLoad",
    "PostgresLoad",
    "QueryLoad",
    "RedisLoad",
    "ReplicaLoad",
    "SlowCommand",
    "TableLoad",
    "postgres_load",
    "query_load",
    "redis_load",
)
