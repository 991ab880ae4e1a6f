"""What Postgres knows of an experiment, one row for each person: memory grows with people,
never with messages.
"""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from agent.control.experiments import read_experiment
from agent.core.errors import Rejected, StoreUnavailable
from agent.core.text import shown_name
from agent.reports.experiment import METRICS, Figures, Group
from storage.postgres import AGAIN, GONE, connect

AT_ONCE = 5_000  # rows of people fetched in one round trip

_EXPERIMENT = (
    "SELECT definition, started_at, ended_at, now() AS now FROM "
    "experiments WHERE name = $1"
)
_NAMES = (
    "SELECT name FROM experiments WHERE started_at IS NOT NULL ORDER BY started_at DESC"
)

PEOPLE = """
WITH thumbs AS (
    SELECT message_id, count(*) FILTER (WHERE thumb > 0) AS up, count(*) FILTER (WHERE thumb < 0) AS down
    FROM votes WHERE at >= $2 GROUP BY message_id
), seen AS (
    SELECT coalesce(u.person_id, (m.metadata->>'person')::uuid) AS person, m.metadata->'variants'->>$1 AS variant,
           m.role = 'assistant' AS reply, m.role = 'assistant' AND NOT m.metadata ? 'notice' AS answer,
           m.latency_ms, m.prompt_tokens + m.token_count AS tokens, m.cost_usd, t.up, t.down
    FROM messages m
    LEFT JOIN users u ON u.id = coalesce((m.metadata->>'person')::uuid, m.user_id)
    LEFT JOIN thumbs t ON t.message_id = m.id
    WHERE m."timestamp" >= $2 AND m."timestamp" < $3 AND NOT m.metadata ? 'carried'
      AND (m.role = 'assistant' AND m.metadata->'variants' ? $1
           OR m.role = 'user' AND m.metadata ? 'retry' AND ($4::text[] = '{}' OR u.channel_type = ANY($4::text[])))
)
SELECT CASE WHEN min(variant) = max(variant) THEN min(variant) END AS variant,
       count(*) FILTER (WHERE answer)::float8 AS answers,
       avg(latency_ms) FILTER (WHERE answer)::float8 AS latency,
       avg(tokens) FILTER (WHERE answer)::float8 AS tokens,
       avg(cost_usd) FILTER (WHERE answer)::float8 AS cost,
       count(*) FILTER (WHERE reply AND NOT answer)::float8 / count(*) FILTER (WHERE reply) AS failures,
       count(*) FILTER (WHERE NOT reply)::float8 AS retries,
       sum(up)::float8 / sum(up + down)::float8 AS thumbs,
       coalesce(sum(up) > 0, false)::int::float8 AS thumbs_up,
       coalesce(sum(down) > 0, false)::int::float8 AS thumbs_down,
       count(*) FILTER (WHERE answer AND cost_usd IS NULL) AS unknown_costs
FROM seen WHERE person IS NOT NULL GROUP BY person HAVING max(variant) IS NOT NULL
"""
"""One row for each person who was answered under the experiment; `variant` NULL: under several.
$1 experiment  $2 since  $3 before  $4 channels, empty: all

A person's id is that of their first account, so that it leads to the person they are since
accounts were linked. Messages that linking copied to another chat are left out. BRIN on
`timestamp` finds the time of the experiment.
"""


async def experiment_figures(database_url: str, name: str) -> Figures:
    """What is known of an experiment until now, or until it ended, in one snapshot of the database.

    Takes its time: no deadline. Raises Rejected when there is no such experiment or it can
    not be reported, and StoreUnavailable.
    """
    try:
        connection = await connect(database_url, None)
        try:
            async with connection.transaction(
                isolation="repeatable_read", readonly=True
            ):
                return await _figures(connection, name)
        finally:
            await connection.close()
    except (*GONE, *AGAIN) as error:  # a replica breaks off what keeps it from going on
        raise StoreUnavailable(
            "Postgres can not be reached, or broke the report off. Try again."
        ) from error


async def _figures(
    connection: asyncpg.Connection[asyncpg.Record], name: str
) -> Figures:
    row = await connection.fetchrow(_EXPERIMENT, name)
    if row is None:
        raise _unknown(
            name, [known["name"] for known in await connection.fetch(_NAMES)]
        )
    if row["started_at"] is None:
        raise Rejected(
            f"The experiment {name} has not started yet: there is nothing to report."
        )
    try:
        experiment = read_experiment(name, msgspec.json.decode(row["definition"]))
    except ValueError:
        raise Rejected(
            f"The experiment {name} is of another version: this one can not read it."
        ) from None
    groups = {variant.name: Group() for variant in experiment.variants}
    until: datetime = row["ended_at"] or row["now"]
    crossed = 0
    people = connection.cursor(
        PEOPLE,
        name,
        row["started_at"],
        until,
        sorted(experiment.channels),
        prefetch=AT_ONCE,
        timeout=None,
    )
    async for person in people:
        if person["variant"] is None:
            crossed += 1
        else:
            _add(groups[person["variant"]], person)
    return Figures(experiment, row["started_at"], row["ended_at"], groups, crossed)


def _add(group: Group, person: asyncpg.Record) -> None:
    group.people += 1
    group.unknown_costs += person["unknown_costs"]
    for name in METRICS:
        if (value := person[name]) is not None:
            group.values[name].append(value)


def _unknown(name: str, known: list[str]) -> Rejected:
    there_are = f"There are: {', '.join(known)}." if known else "None was ever started."
    return Rejected(f"There is no experiment {shown_name(name)}. {there_are}")
