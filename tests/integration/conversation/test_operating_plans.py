"""What operators' lists and pages cost: by index, and the same on the last page as on the first."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from storage.connecting.connection import Connection
from storage.conversation.operating import STATEMENTS, listed
from storage.conversation.operating.listed import (
    FAR,
    LAST,
    PAGE,
    SUMMED,
    WALK_TURNS,
    Filter,
    list_conversations,
)
from storage.people import STATEMENTS as PEOPLE
from storage.postgres import Database, open_database
from storage.transaction import transaction

MANY = """
INSERT INTO users (id, person_id, channel_type, channel_user_id, username)
    SELECT md5('u' || n)::uuid, md5('u' || n)::uuid, 't', n::text, 'name ' || n
    FROM generate_series(1, 4000) n;
INSERT INTO conversations (id, user_id, channel_type, chat_id, started_at, last_activity)
    SELECT md5('c' || n)::uuid, md5('u' || n)::uuid, 't', n::text,
           now() - interval '1 hour', now()
    FROM generate_series(1, 4000) n;
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, user_id, turn_id,
                      answers, cost_usd, model_used)
    SELECT md5('c' || n)::uuid, now() - make_interval(secs => 600 - m), m, gen_random_uuid(),
           CASE WHEN m % 2 = 1 THEN 'user' ELSE 'assistant' END, 'hello',
           CASE WHEN m % 2 = 1 THEN md5('u' || n)::uuid END,
           CASE WHEN m % 2 = 1 THEN md5('t' || n || '.' || m)::uuid END,
           CASE WHEN m % 2 = 0 THEN m - 1 END,
           CASE WHEN m % 2 = 0 THEN 0.001 END, CASE WHEN m % 2 = 0 THEN 'm' END
    FROM generate_series(1, 4000) n, generate_series(1, 6) m;
INSERT INTO turns (id, channel_type, chat_id, platform_message_id, state, created_at)
    SELECT md5('t' || n || '.' || m)::uuid, 't', n::text, m::text, 'done',
           now() - make_interval(secs => 600 - m)
    FROM generate_series(1, 4000) n, generate_series(1, 5, 2) m;
"""
A_USER = UUID("b3188adab3f07e66582bbac456dcd212")
ANY = {"channel": None, "state": None, "page": PAGE}
HERE = {"texts": True, "chars": 100, "page": PAGE}
NOW = datetime.now(UTC)

CALLS: dict[str, tuple[dict[str, Any], int]] = {
    "newest_conversations": ({**ANY, "before": LAST, "walk": PAGE}, 150),
    "lately_active": ({**ANY, "before": LAST, "at": FAR, "walk": WALK_TURNS}, 13_000),
    "conversations_of_person": ({**ANY, "before": LAST, "walk": 5000}, 60),
    "listed_conversations": ({"troubled": False, "cost": None, "texts": True}, 3_000),
    "conversation_head": ({"texts": True}, 30),
    "messages_of_conversation": ({**HERE, "at": FAR, "seq": 0}, 150),
    "one_message": ({**HERE, "seq": 2}, 80),
    "answered_turns": ({"answers": 1, "at": NOW, "page": 20}, 150),
}
"""Parameters, and how many blocks of memory the statement may look at."""


@pytest.fixture
async def many(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as database:
        async with transaction(database) as connection:
            for statement in MANY.split(";\n"):
                if statement.strip():
                    await connection.execute(statement)
            await connection.execute("ANALYZE")
        yield database


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


async def plan_of(
    connection: Connection, sql: str, values: dict[str, Any]
) -> dict[str, Any]:
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"
    found: Any = await connection.scalar(explained, values)
    read = json.loads(found) if isinstance(found, str) else found
    plan: dict[str, Any] = read[0]["Plan"]

    return plan


async def test_no_page_of_conversations_reads_messages_from_end_to_end(
    many: Database,
) -> None:
    page = await list_conversations(many, Filter())
    ids = [row.id for row in page.rows]
    rest = {"ids": ids, "id": ids[0], "summed": SUMMED, "person": A_USER}
    async with transaction(many) as connection:
        rest["person"] = await connection.scalar(
            "SELECT user_id FROM conversations WHERE id = :id", {"id": ids[0]}
        )
        wrong = {}
        for name, (values, most) in CALLS.items():
            own = {
                key: one for key, one in rest.items() if f":{key}" in STATEMENTS[name]
            }
            plan = await plan_of(connection, STATEMENTS[name], {**values, **own})
            scanned = [
                node["Relation Name"]
                for node in nodes(plan)
                if node["Node Type"] == "Seq Scan" and node["Actual Loops"]
                if node["Relation Name"].startswith(("messages_2", "turns"))
                if node["Actual Rows"] or node.get("Rows Removed by Filter")
            ]
            blocks = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            if scanned or blocks > most:
                wrong[name] = (scanned, blocks)

    assert len(ids) == PAGE
    assert {} == wrong


async def test_of_a_long_conversation_the_newest_messages_are_counted(
    many: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed, "SUMMED", 4)
    some = await list_conversations(many, Filter())
    monkeypatch.setattr(listed, "SUMMED", 6)
    every = await list_conversations(many, Filter())

    assert {(True, 2, 3)} == {
        (row.is_partial, row.messages, row.answers) for row in some.rows
    }
    assert {(False, 3, 3)} == {
        (row.is_partial, row.messages, row.answers) for row in every.rows
    }


async def test_the_last_page_costs_what_the_first_one_does(many: Database) -> None:
    """Whoever goes on from page to page never makes Postgres walk over what was before."""
    late = UUID(int=2**120)
    calls = {
        "newest_conversations": {**ANY, "walk": PAGE},
        "newest_accounts": {"words": None, "walk": PAGE, "page": PAGE},
    }
    costs = {}
    async with transaction(many) as connection:
        for name, values in calls.items():
            sql = {**STATEMENTS, **PEOPLE}[name]
            plan = await plan_of(connection, sql, {**values, "before": late})
            costs[name] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    assert {} == {name: cost for name, cost in costs.items() if cost > 150}
