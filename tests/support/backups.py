"""Databases with something in them, for tests of backups, and what a backup must keep of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from storage.backup.places import backups_in
from storage.connecting.postgres import connect

PEOPLE = """
INSERT INTO users (id, person_id, channel_type, channel_user_id)
SELECT md5('person' || n)::uuid, md5('person' || n)::uuid, 'test', 'person' || n
FROM generate_series(1, $1::int) n
"""
CONVERSATIONS = """
INSERT INTO conversations (
    id, user_id, channel_type, chat_id, started_at, last_activity, version, asked, answered
)
SELECT md5('chat' || n)::uuid, md5('person' || n)::uuid, 'test', 'chat' || n,
       now() - interval '1 hour', now() - interval '1 minute', $2::int, $2::int - 1, $2::int - 1
FROM generate_series(1, $1::int) n
"""
MESSAGES = """
INSERT INTO messages (conversation_id, timestamp, seq, id, role, content, user_id, answers)
SELECT md5('chat' || n)::uuid, now() - interval '1 hour' + i * interval '1 millisecond', i,
       gen_random_uuid(), CASE i % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
       'no ' || i || ': ' || repeat(md5(n || ' ' || i), 2 + i % 7) || ' ünïcode \\ ''quoted'' 😀',
       CASE i % 2 WHEN 1 THEN md5('person' || n)::uuid END,
       CASE i % 2 WHEN 0 THEN i - 1 END
FROM generate_series(1, $1::int) n, generate_series(1, $2::int) i
"""
AUDIT = """
INSERT INTO audit_log (actor, action, subject, after)
SELECT 'ada', 'test.fill', 'row ' || n, jsonb_build_object('n', n)
FROM generate_series(1, $1::int) n
"""


async def fill(url: str, people: int = 3, each: int = 40, entries: int = 12) -> None:
    """So many people with one conversation of `each` messages, all answered; and audit rows."""
    connection = await connect(url, statement_seconds=None)
    try:
        await connection.execute(PEOPLE, people)
        await connection.execute(CONVERSATIONS, people, each)
        await connection.execute(MESSAGES, people, each)
        await connection.execute(AUDIT, entries)
    finally:
        await connection.close()


async def value(url: str, question: str, *args: object) -> object:
    connection = await connect(url)
    try:
        return await connection.fetchval(question, *args)
    finally:
        await connection.close()


async def tables(url: str) -> object:
    """How many tables a database has."""
    return await value(
        url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    )


def whole(folder: Path) -> list[Path]:
    """The folders that look like a backup."""
    return [path for path, _ in backups_in(folder)]


async def nobody_in(url: str, database: str) -> None:
    """Returns once no session of a killed program is left in a database."""
    async with asyncio.timeout(20):
        while await value(
            url,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 "
            "AND pid <> pg_backend_pid()",
            database,
        ):
            await asyncio.sleep(0.05)
