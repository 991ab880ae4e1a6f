"""Made-up data: believable, of any size, left alone by the agent, and removed without a trace."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.commands import Ended, Machine
from tests.support.engine_harness import EngineHarness

BEATS = """
INSERT INTO instances (id, host, pid, channels)
VALUES (gen_random_uuid(), 'box', 4711, '{discord}')
"""
TABLES = ("users", "conversations", "messages", "turns", "votes", "budget_days")


@pytest.fixture
async def probe(
    database_url: str,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def seed(machine: Machine, *words: str) -> Ended:
    ended = await machine.agent("db", "seed", "--yes", "--json", *words)
    assert ended.status == 0, ended.err

    return ended


async def rows(probe: asyncpg.Connection[asyncpg.Record]) -> dict[str, object]:
    """All that is stored, table by table."""
    return {
        table: await probe.fetchval(
            f"SELECT jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t)::text) FROM {table} t"
        )
        for table in TABLES
    }


async def partitions(probe: asyncpg.Connection[asyncpg.Record]) -> int:
    return int(
        await probe.fetchval(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'messages'::regclass"
        )
    )


SIZES = [(1, 2, 1), (1, 3, 1), (50, 7, 2), (3, 2000, 1), (120, 6001, 7)]


@pytest.mark.parametrize(("people", "messages", "months"), SIZES)
async def test_it_makes_exactly_as_much_as_was_asked_for(
    machine: Machine,
    probe: asyncpg.Connection[asyncpg.Record],
    people: int,
    messages: int,
    months: int,
) -> None:
    wanted = [f"--people={people}", f"--messages={messages}", f"--months={months}"]
    made = json.loads((await seed(machine, *wanted)).out)
    assert (people, messages) == (made["people"], made["messages"])
    assert (people, messages, made["conversations"]) == (
        await probe.fetchval("SELECT count(*) FROM users"),
        await probe.fetchval("SELECT count(*) FROM messages"),
        await probe.fetchval("SELECT count(*) FROM conversations"),
    )


WRONG = {
    "an order by time that is not the order by seq": """
        SELECT count(*) FROM (
            SELECT timestamp <= lag(timestamp) OVER (PARTITION BY conversation_id ORDER BY seq) AS w
            FROM messages) x WHERE w""",
    "a message that is not over yet": "SELECT count(*) FROM messages WHERE timestamp > now()",
    "a message before its time": """
        SELECT count(*) FROM messages WHERE timestamp < now() - interval '91 days'""",
    "a message without a month of its own": "SELECT count(*) FROM messages_default",
    "a conversation that waits": "SELECT count(*) FROM conversations WHERE asked > answered",
    "a conversation that does not know its end": """
        SELECT count(*) FROM conversations c JOIN LATERAL (
            SELECT max(seq) AS seq, max(timestamp) AS at, min(timestamp) AS first
            FROM messages WHERE conversation_id = c.id) m ON true
        WHERE (c.version, c.last_activity, c.started_at) <> (m.seq, m.at, m.first)""",
    "an answer to nobody": """
        SELECT count(*) FROM messages a LEFT JOIN messages q
            ON q.conversation_id = a.conversation_id AND q.seq = a.answers AND q.role = 'user'
        WHERE a.role = 'assistant' AND q.id IS NULL""",
    "an author from another channel": """
        SELECT count(*) FROM messages m JOIN conversations c ON c.id = m.conversation_id
            JOIN users u ON u.id = m.user_id WHERE u.channel_type <> c.channel_type""",
    "a vote for nothing": """
        SELECT count(*) FROM votes v LEFT JOIN messages m ON m.id = v.message_id
        WHERE m.role IS DISTINCT FROM 'assistant'""",
    "something without a mark": """
        SELECT (SELECT count(*) FROM users WHERE NOT metadata ? 'seeded')
             + (SELECT count(*) FROM conversations WHERE NOT metadata ? 'seeded')""",
    "an open turn": "SELECT count(*) FROM turns",
}


async def test_what_it_makes_hangs_together(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await seed(machine, "--people=200", "--messages=8001", "--months=3")
    found = {name: await probe.fetchval(sql) for name, sql in WRONG.items()}
    assert dict.fromkeys(WRONG, 0) == found
    assert 0 < await probe.fetchval("SELECT count(*) FROM votes")
    assert 1 < await probe.fetchval(
        "SELECT max(n) FROM (SELECT count(DISTINCT user_id) AS n FROM messages"
        " GROUP BY conversation_id) x"
    ), "nobody talks in a group"


async def test_cleaning_removes_it_and_nothing_else(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Also what was made twice, and the months that were made for it."""
    await machine.agent("chat", lines=b"hello\n")
    before, months = await rows(probe), await partitions(probe)
    await seed(machine, "--people=30", "--messages=500", "--months=4")
    await seed(machine, "--people=30", "--messages=500", "--months=6")
    assert months < await partitions(probe)
    cleaned = json.loads((await seed(machine, "--clean")).out)
    assert (60, 1000) == (cleaned["people"], cleaned["messages"])
    assert (before, months) == (await rows(probe), await partitions(probe))
    again = json.loads((await seed(machine, "--clean")).out)
    assert (0, 0, 0) == (again["people"], again["conversations"], again["messages"])


async def test_a_month_that_somebody_else_writes_in_stays(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await seed(machine, "--months=4", "--messages=10")
    await probe.execute(
        "INSERT INTO messages (conversation_id, timestamp, seq, id, role, content) VALUES"
        " (gen_random_uuid(), now() - interval '70 days', 1, gen_random_uuid(), 'user', 'x')"
    )
    await seed(machine, "--clean")
    assert 1 == await probe.fetchval("SELECT count(*) FROM messages")


async def test_an_agent_finds_nothing_to_do_in_it(
    machine: Machine,
    world: EngineHarness,
    probe: asyncpg.Connection[asyncpg.Record],
) -> None:
    await seed(machine, "--people=20", "--messages=400")
    before = await rows(probe)
    async with world.instance() as agent:
        await agent.engine._worker.sweep()
    assert before == await rows(probe)
    status = await machine.agent("status")
    assert 0 == status.status, status.out


@pytest.mark.parametrize("more", [(), ("--clean",)])
async def test_it_is_asked_about_and_guarded(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record], more: tuple[str, ...]
) -> None:
    unasked = await machine.agent("db", "seed", *more)
    await probe.execute(BEATS)
    running = await machine.agent("db", "seed", "--yes", *more)
    forced = await machine.agent(
        "db", "seed", "--yes", "--force", "--messages=10", *more
    )
    await probe.execute("INSERT INTO operators (name) VALUES ('grace')")
    stranger = await machine.agent("db", "seed", "--yes", "--force", *more)
    assert (2, 2, 0, 2) == (
        unasked.status,
        running.status,
        forced.status,
        stranger.status,
    )
    assert "Add --yes to say so." in unasked.err
    assert "Running now: box (4711)." in running.err
    assert "ada is not a registered operator" in stranger.err


async def test_it_is_in_the_audit_log(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await seed(machine, "--people=5", "--messages=10")
    await seed(machine, "--clean")
    found = await probe.fetch("SELECT actor, action FROM audit_log ORDER BY id")
    assert [("ada", "seed.make"), ("ada", "seed.clean")] == [
        tuple(row) for row in found
    ]


ODD = [
    ("--people=0",),
    ("--people=-3",),
    ("--messages=1",),
    ("--messages=many",),
    ("--months=0",),
    ("--months=121",),
]


@pytest.mark.parametrize("words", ODD)
async def test_odd_sizes_are_refused(
    machine: Machine, words: tuple[str, ...]
) -> None:
    ended = await machine.agent("db", "seed", "--yes", *words)
    assert (2, "", 1) == (ended.status, ended.out, ended.err.count("\n")), ended.err


async def test_an_earlier_schema_is_upgraded_first(
    machine: Machine, empty_database_url: str
) -> None:
    ended = await machine.agent(
        "db", "seed", "--yes", settings={"DATABASE_URL": empty_database_url}
    )
    assert (2, True) == (ended.status, "Run: agent db upgrade" in ended.err)
