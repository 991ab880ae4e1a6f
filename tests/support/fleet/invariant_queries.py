"""The invariants as queries to Postgres: each returns the rows that break it."""

from __future__ import annotations

import asyncpg

SECONDS = 60.0
"""A query may take this long: it reads all messages of a storm."""

BROKEN = {
    "a message has one row": """
        SELECT turn_id FROM messages WHERE role = 'user' GROUP BY turn_id HAVING count(*) <> 1""",
    "a turn has a message": """
        SELECT t.id FROM turns t
        WHERE t.reply IS NULL AND NOT EXISTS (SELECT FROM messages m WHERE m.turn_id = t.id)""",
    "every message is covered by exactly one answer": """
        SELECT m.id FROM messages m LEFT JOIN (
            SELECT conversation_id, answers, coalesce(lag(answers) OVER (
                PARTITION BY conversation_id ORDER BY seq), 0) AS before
            FROM messages WHERE role = 'assistant') a
        ON a.conversation_id = m.conversation_id AND m.seq > a.before AND m.seq <= a.answers
        WHERE m.role = 'user' GROUP BY m.id HAVING count(a.answers) <> 1""",
    "answers go forward": """
        SELECT id FROM (
            SELECT id, answers, lag(answers) OVER (
                PARTITION BY conversation_id ORDER BY seq) AS before
            FROM messages WHERE role = 'assistant') x
        WHERE answers <= before""",
    "order by timestamp is order by seq": """
        SELECT id FROM (
            SELECT id, seq, lag(seq) OVER (
                PARTITION BY conversation_id ORDER BY "timestamp") AS before
            FROM messages) x
        WHERE seq <= before""",
    "seq has no gaps": """
        SELECT c.id FROM conversations c JOIN messages m ON m.conversation_id = c.id
        GROUP BY c.id, c.version
        HAVING count(*) <> c.version OR max(m.seq) <> c.version OR min(m.seq) <> 1""",
    "nothing is left in progress": """
        SELECT id FROM conversations WHERE answering IS NOT NULL OR asked > answered""",
    "every turn is done": "SELECT id FROM turns WHERE state <> 'done'",
    "every answer stands on the platform once": """
        SELECT a.id FROM messages a
        LEFT JOIN messages asked
            ON asked.conversation_id = a.conversation_id AND asked.role = 'user'
            AND asked.seq <= a.answers AND NOT EXISTS (
                SELECT FROM messages b
                WHERE b.conversation_id = a.conversation_id AND b.role = 'assistant'
                AND b.seq < a.seq AND b.answers >= asked.seq)
        LEFT JOIN platform p ON p.turn = asked.turn_id AND p.text = a.content
        WHERE a.role = 'assistant' GROUP BY a.id HAVING count(p.turn) <> 1""",
    "what is sent again says that it may be a repeat": """
        SELECT id FROM platform WHERE sends > 1 AND repeats < sends - 1""",
    "no deadlock": """
        SELECT datname FROM pg_stat_database
        WHERE datname = current_database() AND deadlocks > 0""",
}


async def broken_promises(
    probe: asyncpg.Connection[asyncpg.Record],
) -> dict[str, int]:
    """How many rows break each invariant; empty when all hold."""
    counts = {
        name: len(await probe.fetch(sql, timeout=SECONDS))
        for name, sql in BROKEN.items()
    }

    return {name: number for name, number in counts.items() if number}
