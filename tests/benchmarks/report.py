"""What the report of an experiment costs: `uv run python -m tests.benchmarks.report [--rows
1000000] [--people 20000]`.

So many messages within the time of the experiment, four times as many before it. Prints the
plan, the time, and by how much the process grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time

import asyncpg

from agent.control.experiments import Experiment, Variant, definition_of
from agent.reports.experiment import report_of
from storage.migrate import upgrade
from storage.postgres import connect
from storage.reports import STATEMENTS
from storage.reports.experiment_figures import experiment_figures
from tests.support.servers import Postgres, running

EXPERIMENT = Experiment(
    "shorter",
    "system_prompt",
    "shorter",
    (Variant("control", 1), Variant("short", 1, "Be brief.")),
)

_USERS = """
INSERT INTO users (id, person_id, channel_type, channel_user_id)
SELECT md5(n::text)::uuid, md5(n::text)::uuid, 'discord', n::text FROM generate_series(1, $1::int) n
"""
_CHATS = """
INSERT INTO conversations (id, user_id, channel_type, chat_id)
SELECT id, id, 'discord', id::text FROM users
"""
_MESSAGES = """
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, user_id,
                      prompt_tokens, token_count,
                      cost_usd, latency_ms, metadata)
SELECT md5(person::text)::uuid, now() - make_interval(days => $2)
       + make_interval(days => $3) * n / $4, n,
       gen_random_uuid(), CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END, repeat('x', 200),
       CASE n % 2 WHEN 0 THEN md5(person::text)::uuid END,
       500, 100 * random(), 0.001 * random(), 2000 * random(),
       CASE WHEN n % 2 = 1 AND $2 <= 5 THEN
           jsonb_build_object('epoch', 7, 'person', md5(person::text),
           'variants', jsonb_build_object(
               'shorter', CASE person % 2 WHEN 0 THEN 'control' ELSE 'short' END))
       ELSE '{}' END
FROM (SELECT n, 1 + (random() * random() * ($1 - 1))::int AS person
      FROM generate_series(1, $4::int) n) said
"""
_VOTES = """
INSERT INTO votes (message_id, user_id, conversation_id, thumb)
SELECT id, md5('1')::uuid, conversation_id, CASE WHEN random() < 0.7 THEN 1 ELSE -1 END
FROM messages WHERE role = 'assistant' AND random() < 0.05
"""


async def fill(probe: asyncpg.Connection, rows: int, people: int) -> None:
    await probe.execute(_USERS, people)
    await probe.execute(_CHATS)
    await probe.execute(_MESSAGES, people, 25, 20, 4 * rows)
    await probe.execute(_MESSAGES, people, 5, 5, rows)
    await probe.execute(_VOTES)
    await probe.execute(
        "INSERT INTO experiments VALUES ($1, $2, now() - interval '5 days', NULL)",
        EXPERIMENT.name,
        json.dumps(definition_of(EXPERIMENT)),
    )
    await probe.execute("VACUUM ANALYZE")


async def main(rows: int, people: int) -> None:
    with running(Postgres()) as postgres:
        await postgres.execute("CREATE DATABASE benchmark")
        url = postgres.url("benchmark")
        await upgrade(url)
        probe = await connect(url, None)
        await fill(probe, rows, people)
        (since, now), *_ = await probe.fetch(
            "SELECT started_at, now() FROM experiments"
        )
        for row in await probe.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {STATEMENTS['people_of_experiment']}",
            EXPERIMENT.name,
            since,
            now,
            [],
        ):
            print(row[0])
        await probe.close()
        size, began = (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            time.perf_counter(),
        )
        figures = await experiment_figures(url, EXPERIMENT.name)
        grown, read = (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size,
            time.perf_counter(),
        )
        report_of(figures)
        counted = sum(group.people for group in figures.groups.values())
        print(
            f"{counted:,} people of {rows:,} messages: {read - began:.2f} s to "
            f"read; the process grew by {grown:,} kB"
        )
        print(
            f"{time.perf_counter() - read:.2f} s to compare, most of it the import of scipy"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=20_000)
    given = parser.parse_args()
    asyncio.run(main(given.rows, given.people))
