"""A search reads a bounded number of rows, whatever word it is and however many messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent.core.messages import Address, Said
from agent.core.words.search import Found, parse_query
from storage.connecting.connection import Connection
from storage.postgres import open_database
from storage.reports import STATEMENTS, search_candidates
from storage.reports.search import search_everything, search_for
from storage.reports.search_candidates import ENOUGH, UNREAD, WALKED
from storage.transaction import transaction
from tests.support.settings import run

PERSON = uuid4()

# Half of them are another person's, so that a scope is never the whole table.
MESSAGES = """
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, user_id)
SELECT CASE n % 2 WHEN 0 THEN $1::uuid ELSE $2::uuid END,
       now() - interval '1 hour' - n * interval '4 minutes', n, gen_random_uuid(), 'user',
       concat_ws(' ', 'common', CASE WHEN n % 10 < 2 THEN 'tenth' END,
                 CASE WHEN n % 1000 < 2 THEN 'rare' END, CASE WHEN n > 9990 THEN 'old' END),
       CASE n % 2 WHEN 0 THEN $1::uuid ELSE $2::uuid END
FROM generate_series($3::int, $4::int) n
"""
WORDS = """
INSERT INTO search_messages (conversation_id, at, seq, author, words)
SELECT conversation_id, "timestamp", seq, user_id, array_to_tsvector(string_to_array(content, ' '))
FROM messages
WHERE seq >= $1
"""
BOUND = WALKED + 3 * ENOUGH + 2 * ENOUGH * search_candidates.GROWTH
"""The walk, the texts of the hits with chat and turn, and what older spans may name too much."""

READ = """
SELECT sum(seq_tup_read + idx_tup_fetch)::int AS rows FROM pg_stat_xact_user_tables
WHERE relname ~ '^(search_)?messages_'
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    for person, chat in ((PERSON, "group"), (uuid4(), "other")):
        await run(
            database_url,
            "INSERT INTO users (id, person_id, channel_type, channel_user_id) "
            "VALUES ($1, $1, 'telegram', $2)",
            person,
            chat,
        )
        await run(
            database_url,
            "INSERT INTO conversations (id, user_id, channel_type, chat_id, started_at) "
            "VALUES ($1, $1, 'telegram', $2, now() - interval '1 year')",
            person,
            chat,
        )
    others = await run(database_url, "SELECT id FROM users WHERE id <> $1", PERSON)
    await fill(database_url, others[0][0], 0, 10_000)
    await run(database_url, "UPDATE search_state SET indexed_until = now()")
    async with (
        open_database(database_url) as database,
        transaction(database) as opened,
    ):
        yield opened


async def fill(url: str, other: UUID, since: int, until: int) -> None:
    await run(url, MESSAGES, PERSON, other, since, until - 1)
    await run(url, WORDS, since)
    await run(url, "ANALYZE messages, search_messages")


async def ask(connection: Connection, scope: str, words: str) -> list[Found]:
    query = parse_query(words)
    if scope == "all":
        return await search_everything(connection, query)

    inbound = Said(
        address=Address("telegram", "group"),
        message_id="1",
        user_id="group",
        text="",
        direct=scope == "people",
    )
    return await search_for(connection, inbound, query)


@pytest.mark.parametrize("scope", ["people", "place", "all"])
async def test_a_search_reads_few_rows_of_many(
    connection: Connection, scope: str
) -> None:
    """A word in all messages, in some, in few, in the oldest ones alone, and in none."""
    words = {"common": 10, "tenth": 10, "rare": 10, "old": 4, "nowhere": 0}
    if scope == "all":
        words |= {"old": 9}
    before = 0
    for word, count in words.items():
        found = await ask(connection, scope, word)
        read = await connection.scalar(READ) or 0

        assert (word, count) == (word, len(found))
        assert read - before < BOUND, word
        before = read


async def test_words_of_a_conversation_that_is_no_more_hide_no_older_message(
    connection: Connection,
) -> None:
    """Somebody may have read them while it was deleted."""
    await connection.execute(
        "INSERT INTO search_messages (conversation_id, at, seq, words)"
        " VALUES (gen_random_uuid(), now() - interval '2 hours', 1, 'old')"
    )

    assert 9 == len(await ask(connection, "all", "old"))


STEPS: dict[str, dict[str, Any]] = {
    "walk_people": {
        "query": "'rare'",
        "enough": 100,
        "count": 1000,
        "accounts": [PERSON],
    },
    "walk_place": {
        "query": "'rare'",
        "enough": 100,
        "count": 1000,
        "walked": [PERSON],
    },
    "walk_all": {"query": "'rare'", "enough": 100, "count": 1000, "in_channel": None},
    "hits_of_people": {"query": "'rare'", "count": 200, "accounts": [PERSON]},
    "hits_of_place": {"query": "'rare'", "count": 200, "conversations": [PERSON]},
    "hits_of_all": {"query": "'rare'", "count": 200, "in_channel": None},
    "unread_of_people": {"count": UNREAD, "accounts": [PERSON]},
    "unread_of_place": {"count": UNREAD, "walked": [PERSON]},
    "unread_of_all": {"count": UNREAD},
}


ASKED_OF = {
    "people": ("author", "user_id"),
    "place": ("conversation_id",),
    "all": ("at", "created_at"),
}


async def test_whose_messages_may_be_seen_is_asked_of_an_index(
    connection: Connection,
) -> None:
    """A rare word may be asked instead. No step reads all messages."""
    [now] = (await connection.execute("SELECT now()")).one()
    await connection.execute(STATEMENTS["begin_search"])
    for name, asked in STEPS.items():
        since = now if name.startswith("unread") else search_candidates.BEGINNING
        values = {**asked, "since": since, "until": now}
        explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {STATEMENTS[name]}"
        nodes = nodes_of(await connection.scalar(explained, values))
        conditions = " ".join(node.get("Index Cond", "") for node in nodes)
        columns = ASKED_OF[name.rpartition("_")[2]]
        wanted = (*columns, "words") if name.startswith("hits") else columns

        assert [] == [name for node in nodes if reads_all(node)]
        assert [] != [column for column in wanted if column in conditions], name


def reads_all(node: dict[str, Any]) -> bool:
    is_scan = node["Node Type"] == "Seq Scan" and "messages" in node["Relation Name"]

    return is_scan and node["Actual Rows"] + node.get("Rows Removed by Filter", 0) > 0


def nodes_of(plan: Any) -> list[dict[str, Any]]:
    """All nodes of a plan, from EXPLAIN's JSON."""
    if isinstance(plan, list):
        return [node for part in plan for node in nodes_of(part)]
    if "Plan" in plan:
        return nodes_of(plan["Plan"])

    return [plan, *nodes_of(plan.get("Plans", []))]
