"""Lets time pass without waiting: everything in the database becomes older."""

from __future__ import annotations

import asyncio

import asyncpg

from storage.postgres import connect

TRY_SECONDS = 20.0
_OLDER = """
LOCK TABLE turns, conversations, messages, instances, experiments, sweep_floor, open_turns
IN ACCESS EXCLUSIVE MODE NOWAIT;
UPDATE conversations SET started_at = started_at - interval '{seconds} s',
    last_activity = last_activity - interval '{seconds} s',
    lease_until = lease_until - interval '{seconds} s';
UPDATE messages SET "timestamp" = "timestamp" - interval '{seconds} s';
UPDATE turns SET created_at = created_at - interval '{seconds} s',
    touched_at = touched_at - interval '{seconds} s';
UPDATE sweep_floor SET at = at - interval '{seconds} s';
UPDATE open_turns SET noted_at = noted_at - interval '{seconds} s';
UPDATE instances SET seen_at = seen_at - interval '{seconds} s';
UPDATE experiments SET started_at = started_at - interval '{seconds} s',
    ended_at = ended_at - interval '{seconds} s',
    definition = definition || jsonb_strip_nulls(jsonb_build_object(
        'starts', (definition ->> 'starts')::timestamptz - interval '{seconds} s',
        'ends', (definition ->> 'ends')::timestamptz - interval '{seconds} s'));
"""


async def let_pass(database_url: str, seconds: float) -> None:
    """To every instance it seems as if all of them had stood still for this long."""
    connection = await connect(database_url)
    try:
        async with asyncio.timeout(TRY_SECONDS):
            while not await _older(connection, seconds):
                await asyncio.sleep(0.001)
    finally:
        await connection.close()


async def _older(
    connection: asyncpg.Connection[asyncpg.Record], seconds: float
) -> bool:
    """Runs between two statements of others, never in the way of one."""
    try:
        async with connection.transaction():
            await connection.execute(_OLDER.format(seconds=float(seconds)))
    except asyncpg.LockNotAvailableError:
        return False

    return True
