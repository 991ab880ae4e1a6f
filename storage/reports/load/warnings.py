"""What an operator should look at in what the stores say of themselves."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from storage.reports.load.measured import IndexLoad, PostgresLoad, RedisLoad

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


class Warned(Struct, frozen=True):
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


def indexes_to_show(load: PostgresLoad) -> tuple[Sequence[IndexLoad], int]:
    """Those that are read; of the others a few, once the statistics can tell; and how many
    more there are.
    """
    read = [index for index in load.indexes if index.scans]
    unread = [index for index in load.indexes if not index.scans]
    named = unread[:UNUSED_SHOWN] if is_old_enough(load) else []

    return [*read, *named], len(unread) - len(named)


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


def disk_warnings(folders: Iterable[Path]) -> Iterator[Warned]:
    """Of this machine's disks; a server's own are out of sight."""
    for path, used in disks(folders).items():
        if used > FULL_DISK:
            yield Warned("disk", f"The disk of {path} is {used:.0%} full.")


def disks(folders: Iterable[Path]) -> Mapping[Path, float]:
    """How full the disks of these folders are, from 0 to 1, each once."""
    found: dict[int, tuple[Path, float]] = {}
    for folder in folders:
        if folder.exists():
            usage = shutil.disk_usage(folder)
            share = usage.used / (usage.used + usage.free)
            found.setdefault(folder.stat().st_dev, (folder, share))

    return dict(found.values())
