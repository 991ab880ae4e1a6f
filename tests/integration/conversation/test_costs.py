"""What a turn costs, in counts: round trips, statements, rows. Timings are in tests/benchmarks."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from storage.conversation import STATEMENTS
from storage.people import active_people
from storage.postgres import BY_INDEX, WALK_INDEXES, connect
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.settings import run

TURNS = 20


@pytest.fixture
def world(database_url: str, redis_url: str) -> EngineHarness:
    # The only heartbeat is the first.
    return EngineHarness(database_url, redis_url, beat=3600)


@pytest.fixture
async def probe(
    database_url: str,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await connect(database_url)
    await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    yield connection
    await connection.close()


async def statements(probe: asyncpg.Connection[asyncpg.Record]) -> dict[str, int]:
    """Calls of each of the agent's statements, by the statement's name."""
    rows = await probe.fetch(
        "SELECT query, calls FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
        " WHERE d.datname = current_database()"
    )
    named = (
        (re.search(r"/\* (\w+) \*/", row["query"]), row["calls"]) for row in rows
    )

    return {match[1]: calls for match, calls in named if match}


async def talk(
    world: EngineHarness, agent: Instance, chat: str, turns: int, start: int = 0
) -> None:
    for number in range(start, start + turns):
        await world.ask(agent, f"message {number}", chat=chat)


async def test_a_warm_turn_is_two_redis_round_trips_two_statements_and_no_read(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await talk(world, agent, "ada", 1)
    await probe.execute("SELECT pg_stat_statements_reset()")
    before = agent.pipe.round_trips
    await talk(world, agent, "ada", TURNS, start=1)

    assert agent.pipe.round_trips - before == 2 * TURNS

    calls = await statements(probe)
    assert calls["accept"] == calls["answer"] == TURNS
    assert "load" not in calls
    assert "are_open" not in calls


async def test_redis_is_asked_exactly_what_a_warm_turn_needs(
    world: EngineHarness, agent: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that Redis has as it is lives longer, and is not written again."""
    monkeypatch.setattr(active_people, "NOTED_SECONDS", 3600.0)
    await talk(world, agent, "ada", 1)
    await agent.pipe.client.config_resetstat()
    await talk(world, agent, "ada", TURNS, start=1)
    stats: dict[str, dict[str, Any]] = await agent.pipe.client.info("commandstats")
    counted = {
        name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()
    }
    wanted = {
        "hmget": 1,
        "hget": 1,
        "get": 1,
        "set": 1,
        "expire": 1,
        "hset": 0,
        "zadd": 0,
        "zremrangebyscore": 0,
    }

    assert {name: counted.get(name, 0) for name in wanted} == {
        name: n * TURNS for name, n in wanted.items()
    }


async def test_a_crowd_after_flushall_shares_its_reads_and_statements(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """1,000 people at once: what operators set is read twice at most, and their messages
    share statements as if nothing had happened.
    """
    crowd = [f"person {number}" for number in range(1_000)]
    await talk(world, agent, "ada", 1)
    await agent.pipe.client.flushall()
    await probe.execute("SELECT pg_stat_statements_reset()")
    await asyncio.gather(
        *(agent.engine.accept(world.message("hi", chat=chat)) for chat in crowd)
    )
    calls = await statements(probe)

    # none, if Redis was given up on a busy machine
    assert calls.get("control_state", 0) <= 4
    assert calls["accept"] <= 40


async def test_a_cold_turn_adds_one_read(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await talk(world, agent, "ada", 1)
    await agent.pipe.client.flushall()
    await probe.execute("SELECT pg_stat_statements_reset()")
    await talk(world, agent, "ada", 1, start=1)
    calls = await statements(probe)

    assert calls["accept"] == 1
    assert calls["load"] == 1
    assert calls["answer"] == 1


async def test_readers_that_come_at_once_share_a_read(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await talk(world, agent, "ada", 1)
    conversation = await probe.fetchval("SELECT id FROM conversations")
    await probe.execute("SELECT pg_stat_statements_reset()")
    await asyncio.gather(*(agent.ports.turns.load(conversation) for _ in range(100)))

    calls = await statements(probe)

    assert calls["load"] == 1


async def test_conversations_that_talk_at_once_share_statements_and_rows_stay_in_place(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    chats = [f"chat {number}" for number in range(64)]
    await asyncio.gather(*(talk(world, agent, chat, 1) for chat in chats))
    await probe.execute("SELECT pg_stat_statements_reset(), pg_stat_reset()")
    await asyncio.gather(
        *(talk(world, agent, chat, TURNS, start=1) for chat in chats)
    )
    calls = await statements(probe)
    turns = TURNS * len(chats)

    assert (calls["accept"] + calls["answer"]) / turns <= 0.1
    assert await hot_share(probe, "conversations", updates=2 * turns) >= 0.95


async def hot_share(
    probe: asyncpg.Connection[asyncpg.Record], table: str, *, updates: int
) -> float:
    """Share of updates in place. Waits for the statistics of all updates: backends report when
    idle.
    """
    async with asyncio.timeout(40):
        while True:
            await probe.execute("SELECT pg_stat_clear_snapshot(), pg_sleep(0.2)")
            hot, updated = await probe.fetchrow(
                "SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE relname = $1",
                table,
            ) or (0, 0)
            if updated >= updates:
                return float(hot) / float(updated)


async def plan_of(
    probe: asyncpg.Connection[asyncpg.Record], conversation: Any
) -> str:
    for name, value in WALK_INDEXES.items():
        await probe.execute(f"SET {name} = {value}")
    await probe.execute(f"PREPARE load(uuid[], bigint) AS {STATEMENTS['load']}")
    rows = await probe.fetch(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE load('{{{conversation}}}', 20)"
    )
    await probe.execute("DEALLOCATE load")

    return str(rows[0][0])


def scans(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Every scan of a table that was really executed."""
    below = [scan for child in node.get("Plans", []) for scan in scans(child)]
    return (
        [*below, node]
        if "Relation Name" in node and node["Actual Loops"] > 0
        else below
    )


MANY_CHATS = """
INSERT INTO users (id, person_id, channel_type, channel_user_id)
    SELECT gen_random_uuid(), gen_random_uuid(), 't', n::text
    FROM generate_series(1, 20000) n;
INSERT INTO conversations (id, user_id, channel_type, chat_id)
    SELECT gen_random_uuid(), id, 't', channel_user_id FROM users;
INSERT INTO turns (id, channel_type, chat_id, platform_message_id)
    SELECT gen_random_uuid(), 't', channel_user_id, '1' FROM users;
"""
A_FEW_MESSAGES = """
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content)
    SELECT c.id, now() - make_interval(secs => 5 + n), 10 - n, gen_random_uuid(), 'user', 'x'
    FROM conversations c, generate_series(1, 5) n;
"""
LONG_CONVERSATION = """
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content)
    SELECT $1, now() + make_interval(secs => n / 1000.0), n + 10, gen_random_uuid(),
           'user', 'hello'
    FROM generate_series(1, $2::int) n
"""
ITS_VERSION = """
UPDATE conversations
SET version = $2 + 10, asked = $2 + 10, answered = $2 + 10,
    started_at = started_at - interval '1 day', last_activity = now() + interval '1 hour'
WHERE id = $1
"""


@pytest.mark.parametrize("messages", [20, 100_000])
async def test_reading_a_window_uses_indexes_and_only_the_partitions_it_needs(
    probe: asyncpg.Connection[asyncpg.Record], messages: int
) -> None:
    """It reads the same few rows and pages, whether the conversation is short or long."""
    await probe.execute(MANY_CHATS + A_FEW_MESSAGES)
    conversation = await probe.fetchval("SELECT id FROM conversations LIMIT 1")
    await probe.execute(LONG_CONVERSATION, conversation, messages)
    await probe.execute(ITS_VERSION, conversation, messages)
    await probe.execute("VACUUM ANALYZE messages, conversations, users, turns")
    plan = json.loads(await plan_of(probe, conversation))[0]["Plan"]

    assert {scan["Node Type"] for scan in scans(plan)} <= {
        "Index Scan",
        "Index Only Scan",
    }
    assert not [
        scan for scan in scans(plan) if scan["Relation Name"] == "messages_default"
    ]

    read = [
        scan for scan in scans(plan) if scan["Relation Name"].startswith("messages_")
    ]

    assert sum(scan["Actual Rows"] for scan in read) <= 20 + len(read)
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 60


ONE = "'{00000000-0000-0000-0000-000000000001}'"
CALLS = {
    "answer": f"({ONE}, {ONE}, "
    f"'{{1}}', {ONE}, {ONE}, '{{x}}', '{{m}}', '{{1}}', '{{1}}', '{{0}}', "
    f"'{{1}}', '{{x}}', '{{1}}', {ONE}, 5)",
    "placed": f"({ONE}, '{{x}}', '{{false}}')",
    "done": f"({ONE}, '{{done}}', '{{x}}', {ONE})",
    "hand_back": f"({ONE}, {ONE}, {ONE}, {ONE}, gen_random_uuid())",
}


@pytest.mark.parametrize("name", CALLS)
async def test_locking_in_order_looks_at_its_own_rows_however_many_there_are(
    probe: asyncpg.Connection[asyncpg.Record], name: str
) -> None:
    """Rows are sorted for locking, not found by walking the index of all conversations or turns."""
    await probe.execute(MANY_CHATS)
    await probe.execute("VACUUM ANALYZE conversations, turns")

    for setting, value in BY_INDEX.items():
        await probe.execute(f"SET {setting} = {value}")
    await probe.execute(f"PREPARE statement AS {STATEMENTS[name]}")
    rows = await probe.fetch(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE statement {CALLS[name]}"
    )
    plan = json.loads(rows[0][0])[0]["Plan"]

    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 30


ACCEPTED = (
    f"({ONE}, '{{x}}', '{{x}}', '{{x}}', '{{x}}', '{{x}}', {ONE}, {ONE}, '{{x}}', '{{x}}', "
    f"'{{x}}', {ONE}, '{{x}}', gen_random_uuid(), 5)"
)


async def test_what_is_new_and_what_is_released_is_not_compared_each_with_each(
    probe: asyncpg.Connection[asyncpg.Record],
) -> None:
    """Otherwise a list costs the square of its length: the planner may not join by hash here."""
    for setting, value in BY_INDEX.items():
        await probe.execute(f"SET {setting} = {value}")
    await probe.execute(f"PREPARE accept AS {STATEMENTS['accept']}")
    await probe.execute(f"PREPARE answer AS {STATEMENTS['answer']}")
    accept = await probe.fetch(f"EXPLAIN EXECUTE accept {ACCEPTED}")
    answer = await probe.fetch(f"EXPLAIN EXECUTE answer {CALLS['answer']}")

    assert "hashed SubPlan" in "\n".join(line for (line,) in accept)
    assert sum("CTE Scan on input" in line for (line,) in answer) == 1


ANSWERS = """
INSERT INTO conversations (id, user_id, channel_type, chat_id, thread_id,
                           version, asked, answered, started_at, last_activity)
    SELECT gen_random_uuid(), (SELECT id FROM users LIMIT 1), 't', 'busy', n::text, 400, 399, 399,
           now() - interval '2 days', now() - make_interval(secs => n)
    FROM generate_series(1, {threads}) n;
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, answers, turn_id)
    SELECT c.id, c.last_activity - make_interval(secs => {messages} - n), n, gen_random_uuid(),
           CASE WHEN n % 2 = 1 THEN 'user' ELSE 'assistant' END, 'x',
           CASE WHEN n % 2 = 0 THEN n - 1 END,
           CASE WHEN n % 2 = 1 THEN md5(c.id::text || n)::uuid END
    FROM conversations c, generate_series(1, {messages}) n WHERE c.chat_id = 'busy';
INSERT INTO turns (id, channel_type, chat_id, platform_message_id, state, placed)
    SELECT turn_id, 't', 'busy', seq::text, 'done',
           jsonb_build_object('ids', jsonb_build_array('a' || id))
    FROM messages WHERE turn_id IS NOT NULL;
"""


@pytest.mark.parametrize(
    ("threads", "messages", "pages"),
    [(1, 100_000, 1_000), (1500, 40, 6_500), (20, 2, 200)],
)
async def test_a_vote_looks_at_a_bounded_part_of_its_chat_and_at_nothing_else(
    probe: asyncpg.Connection[asyncpg.Record], threads: int, messages: int, pages: int
) -> None:
    """A message that is no answer costs most: everything that may be read is read, by index."""
    await probe.execute(
        MANY_CHATS + ANSWERS.format(threads=threads, messages=messages)
    )
    await probe.execute("VACUUM ANALYZE conversations, messages, turns, users")

    for name, value in WALK_INDEXES.items():
        await probe.execute(f"SET {name} = {value}")
    await probe.execute(f"PREPARE vote AS {STATEMENTS['vote']}")
    rows = await probe.fetch(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE vote"
        " ('t', 'busy', 'unknown', 'ada', NULL, gen_random_uuid(), 1, true)"
    )
    plan = json.loads(rows[0][0])[0]["Plan"]
    found = [scan for scan in scans(plan) if scan["Node Type"] != "ModifyTable"]

    assert {scan["Node Type"] for scan in found} <= {"Index Scan", "Index Only Scan"}
    assert read(found, "conversations") <= 1000
    assert read(found, "messages_") <= 2 * 2000 + 1
    assert read(found, "turns") <= 2 * 200
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= pages


def read(found: list[dict[str, Any]], table: str) -> int:
    """Rows read in a table, including those that did not match."""
    mine = [scan for scan in found if scan["Relation Name"].startswith(table)]
    return sum(
        round(
            (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0))
            * scan["Actual Loops"]
        )
        for scan in mine
    )


# --- turns under a budget


async def budgeted(database_url: str, agent: Instance) -> None:
    for scope in ("person", "channel"):
        await run(
            database_url,
            "INSERT INTO budgets (scope, subject, tokens) VALUES ($1, '*', 1000000000)",
            scope,
        )

    await run(database_url, "UPDATE control_epoch SET epoch = epoch + 1")
    await agent.ports.control_updates.observe(0)


async def drained(probe: asyncpg.Connection[asyncpg.Record]) -> None:
    """Returns once every reservation is settled, which nothing waits for."""
    async with asyncio.timeout(20):
        while await probe.fetchval("SELECT EXISTS (SELECT FROM budget_reservations)"):
            await probe.execute("SELECT pg_sleep(0.02)")


async def test_a_budget_adds_one_statement_before_the_model_and_one_after_the_answer(
    world: EngineHarness,
    agent: Instance,
    probe: asyncpg.Connection[asyncpg.Record],
    database_url: str,
) -> None:
    await budgeted(database_url, agent)
    await talk(world, agent, "ada", 1)
    await drained(probe)
    await probe.execute("SELECT pg_stat_statements_reset()")
    before = agent.pipe.round_trips

    for number in range(TURNS):
        await talk(world, agent, "ada", 1, start=number + 1)
        await drained(probe)

    calls = await statements(probe)

    assert agent.pipe.round_trips - before == 2 * TURNS
    assert calls["accept"] == TURNS
    assert calls["answer"] == TURNS
    assert calls["reserve"] == TURNS
    assert calls["settle"] == TURNS
    assert "begin_day" not in calls
    assert "load" not in calls


async def test_conversations_that_talk_at_once_share_the_statements_of_their_budgets(
    world: EngineHarness,
    agent: Instance,
    probe: asyncpg.Connection[asyncpg.Record],
    database_url: str,
) -> None:
    chats = [f"chat {number}" for number in range(64)]
    await budgeted(database_url, agent)
    await asyncio.gather(*(talk(world, agent, chat, 1) for chat in chats))
    await drained(probe)
    await probe.execute("SELECT pg_stat_statements_reset()")
    await asyncio.gather(
        *(talk(world, agent, chat, TURNS, start=1) for chat in chats)
    )
    await drained(probe)
    calls = await statements(probe)

    assert (calls["reserve"] + calls["settle"]) / (TURNS * len(chats)) <= 0.2


async def test_a_turn_that_no_budget_binds_touches_none_of_their_tables(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await talk(world, agent, "ada", 1)  # reads once whether there is any
    await probe.execute("SELECT pg_stat_statements_reset()")
    await talk(world, agent, "ada", TURNS, start=1)
    asked = await probe.fetch(
        "SELECT query FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
        " WHERE d.datname = current_database() AND query LIKE '%budget%' AND "
        "query NOT LIKE '%pg_stat_statements%'"
    )

    assert asked == []


async def test_what_a_sweep_costs_grows_no_faster_than_what_it_finds(
    database_url: str, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """After a long outage there are many thousands of answers: no part of the plan is run again
    for each of them.
    """
    values = "5.0, ARRAY['test'], 200, gen_random_uuid()"
    await probe.execute(
        "PREPARE sweep(float8, text[], bigint, uuid) AS "
        + STATEMENTS["take_deliveries"]
    )
    rows = await probe.fetch(f"EXPLAIN EXECUTE sweep({values})")
    plan = "\n".join(row[0] for row in rows)

    assert "SubPlan" not in plan
    assert plan.count("CTE Scan on answered") == 1
