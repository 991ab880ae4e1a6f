"""`agent db stats`, `queries` and `explain`: how the stores are, and what they are busy with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import asdict

from agent.cli.options import Json
from agent.cli.output import show_json, show_table, tell
from agent.cli.run import NOT_WELL, WELL, run
from agent.core.words.sizes import in_words

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.reports.load import PostgresLoad, QueryLoad, RedisLoad
    from storage.reports.load.warnings import Warned

_INSTALL = (
    "pg_stat_statements is not installed in this database: add it to Postgres' "
    "shared_preload_libraries, restart Postgres, and run CREATE EXTENSION pg_stat_statements."
)

_NOT_EMBEDDED = (
    "The embedded Postgres does not count statements: set DATABASE_URL to a server with "
    "pg_stat_statements. `agent db explain` works here, too."
)


def stats(as_json: Json = False) -> None:
    """Show connections, sizes, dead rows, use of indexes, replicas, and how Redis is."""
    run(lambda settings: _stats(settings, as_json=as_json))


def queries(
    limit: Annotated[int, typer.Option(min=1, help="How many statements.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the agent's statements that took longest together, by pg_stat_statements."""
    run(lambda settings: _queries(settings, limit, as_json=as_json))


def explain(
    name: Annotated[
        str,
        typer.Argument(
            help="A statement's name, as `agent db queries` or an unknown name shows it."
        ),
    ],
    by_index: Annotated[
        bool,
        typer.Option(
            "--by-index", help="Under the planner's settings that turns use."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how Postgres would run one of the agent's statements. Nothing is run."""
    run(lambda settings: _explain(settings, name, by_index=by_index, as_json=as_json))


async def _stats(settings: Settings, *, as_json: bool) -> int:
    from agent.operations.connect import reach_postgres, reach_redis
    from storage.backup.kept import own_folders
    from storage.redis import open_redis
    from storage.reports.load import postgres_load, redis_load
    from storage.reports.load.warnings import (
        disk_warnings,
        postgres_warnings,
        redis_warnings,
    )

    async with reach_postgres(settings) as postgres:
        load = await postgres_load(postgres.url)
    async with reach_redis(settings) as (url, _), open_redis(url) as pipe:
        redis = await redis_load(pipe)

    warnings = [*postgres_warnings(load), *disk_warnings(own_folders(settings))]
    if redis is not None:
        warnings += redis_warnings(redis)

    if as_json:
        show_json(
            {
                "postgres": asdict(load),
                "redis": redis and {**asdict(redis), "hit_rate": redis.hit_rate},
                "warnings": [asdict(one) for one in warnings],
            }
        )
    else:
        _show_postgres(load)
        _show_tables(load)
        _show_indexes(load)
        _show_redis(redis)
        _show_warnings(warnings)

    return WELL


def _show_postgres(load: PostgresLoad) -> None:
    states = ", ".join(
        f"{count} {state}" for state, count in load.connections.items()
    )
    used = sum(load.connections.values())
    show_table(
        (),
        [
            ("connections", f"{used} of {load.maximum}: {states}"),
            ("database", in_words(load.bytes)),
            ("blocked", f"{load.blocked} sessions wait for a lock"),
            ("oldest transaction", f"{load.oldest_transaction:.0f} s"),
            ("clock", f"{load.clock_ahead:+.1f} s to this machine's"),
            *(_replica(one.name, one.seconds, one.bytes) for one in load.replicas),
        ],
    )


def _show_tables(load: PostgresLoad) -> None:
    tell("")
    show_table(
        ("table", "size", "indexes", "rows", "dead", "vacuumed"),
        [
            (
                table.name,
                in_words(table.bytes),
                in_words(table.index_bytes),
                table.rows,
                table.dead,
                f"{table.vacuumed_at:%Y-%m-%d %H:%M}"
                if table.vacuumed_at
                else "never",
            )
            for table in load.tables
        ],
    )


def _show_indexes(load: PostgresLoad) -> None:
    """Those that are read; of the others a few, once the statistics can tell."""
    from storage.reports.load.warnings import indexes_to_show

    shown, rest = indexes_to_show(load)

    tell("")
    show_table(
        ("index", "table", "size", "scans"),
        [
            (index.name, index.table, in_words(index.bytes), _scans(index.scans))
            for index in shown
        ],
    )
    if rest:
        days = load.statistics_age / 86400
        tell(f"{rest} more were not read in the {days:.1f} days of these statistics.")


def _scans(count: int) -> str:
    return str(count) if count else "unused"


def _replica(name: str, seconds: float, behind: int | None) -> tuple[str, str]:
    size = "" if behind is None else f", {in_words(behind)}"

    return f"standby {name}", f"{seconds:.1f} s behind{size}"


def _show_redis(load: RedisLoad | None) -> None:
    tell("")
    if load is None:
        tell("Redis does not answer.")
        return

    rate = "nothing was read" if load.hit_rate is None else f"{load.hit_rate:.1%}"
    bound = in_words(load.max_memory) if load.max_memory else "no bound"
    rows: list[Sequence[Any]] = [
        ("redis hit rate", rate),
        ("redis memory", f"{in_words(load.memory)} of {bound}, {load.policy}"),
        ("redis evictions", load.evicted),
        ("redis slow log", f"{load.slow_count} commands"),
    ]
    rows += [("", f"{one.command} {one.milliseconds:.1f} ms") for one in load.slow]
    show_table((), rows)


def _show_warnings(warnings: Sequence[Warned]) -> None:
    if warnings:
        tell("")
    for one in warnings:
        tell(f"{one.part}: {one.sentence}")


async def _queries(settings: Settings, limit: int, *, as_json: bool) -> int:
    from agent.operations.connect import reach_postgres
    from storage.reports.load import query_load

    async with reach_postgres(settings) as postgres:
        found = await query_load(postgres.url, limit)

    if found is None:
        missing = _NOT_EMBEDDED if postgres.embedded else _INSTALL
        tell(f"agent: {missing}", err=True)
        return NOT_WELL

    if as_json:
        show_json([asdict(query) for query in found])
        return WELL

    headers = (
        "statement",
        "calls",
        "total",
        "mean",
        "longest",
        "rows",
        "blocks read",
    )
    show_table(headers, [_query_row(query) for query in found])

    return WELL


def _query_row(query: QueryLoad) -> tuple[object, ...]:
    return (
        query.name,
        query.calls,
        f"{query.total_ms:.1f} ms",
        f"{query.mean_ms:.2f} ms",
        f"{query.max_ms:.1f} ms",
        query.rows,
        query.blocks_read,
    )


async def _explain(
    settings: Settings, name: str, *, by_index: bool, as_json: bool
) -> int:
    from agent.operations.connect import reach_postgres
    from storage.reports.load.plans import plan_of

    async with reach_postgres(settings) as postgres:
        lines = await plan_of(postgres.url, name, by_index=by_index)

    if as_json:
        show_json({"statement": name, "plan": lines})
    else:
        tell("\n".join(lines))

    return WELL
