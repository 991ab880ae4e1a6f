"""How long messages are kept, and how they go: by whole months where every channel allows it,
else in batches.

One instance at a time. No turn waits long for it: a month is taken out of the table in one
round trip that waits for no lock longer than 25 ms, and batches hold no lock that a turn needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from itertools import chain, repeat
from typing import Any

import asyncpg
import structlog
from msgspec import Struct

from agent.core.background import run_in_background
from agent.core.errors import AgentError
from agent.core.words.retention import FOREVER
from storage.connecting.connection import Connection
from storage.control.channel_settings import read_settings
from storage.lifecycle import STATEMENTS
from storage.postgres import Database
from storage.transaction import autocommit, transaction

HOUR = 3600.0
SOON = 60.0
"""After a start: the first look may come before the last hours are summed up."""

LOCK_TRIES = 40
"""How often a month is tried; each try gives way after some milliseconds."""

PAUSE_SECONDS = 0.25
"""Between tries: whoever waited behind the last one is served first."""

AT_ONCE = 1000
CONVERSATIONS_AT_ONCE = 200

log = structlog.get_logger()


class Policy(Struct, frozen=True):
    """How many days messages are kept; FOREVER: all."""

    default: int
    channels: Mapping[str, int]
    """Of channels that have their own."""

    @property
    def months(self) -> int:
        """For how long at least one channel keeps its messages."""
        kept = {self.default, *self.channels.values()}

        return FOREVER if FOREVER in kept else max(kept)

    def days(self, channel: str) -> int:
        return self.channels.get(channel, self.default)


class Kept(Struct, frozen=True):
    """What an operator wants to know."""

    policy: Policy
    next_drop: datetime | None
    """When the oldest month may go. None: it stays, or there is none."""


async def kept(database: Database, default: int | None) -> Kept:
    """What is kept for how long; `default` is RETENTION_DAYS. Raises StoreUnavailable."""
    async with transaction(database) as connection:
        policy = await _policy(connection, default)
        months = await _months(connection)
    if policy.months == FOREVER or not months:
        return Kept(policy, None)

    oldest = min(month for month, _ in months)

    return Kept(policy, _end(oldest) + timedelta(days=policy.months))


def retaining(
    database: Database, default: int | None
) -> AbstractAsyncContextManager[None]:
    """Inside, what is too old goes: at once, soon again, and then every hour."""
    return run_in_background(_retain_forever, database, default)


async def _retain_forever(database: Database, default: int | None) -> None:
    for pause in chain([SOON], repeat(HOUR)):
        try:
            await retain(database, default)
        except AgentError as error:
            log.warning(f"old messages stay for another hour: {error.sentence}")
        # whatever it is: it is tried again, and people are answered
        except Exception as error:
            log.exception(
                "old messages stay for another hour", error=type(error).__name__
            )

        await asyncio.sleep(pause)


async def retain(
    database: Database, default: int | None, now: datetime | None = None
) -> None:
    """Deletes once what nobody keeps any longer. `now` is for tests. Raises StoreUnavailable."""
    now = now or datetime.now(UTC)
    async with transaction(database) as connection:
        policy = await _policy(connection, default)
        months = await _months(connection)
        counted = await connection.scalar(STATEMENTS["summed_up_until"])
        cutoffs = await _cutoffs(connection, policy, now, counted)

    if policy.months != FOREVER:
        cutoff = min(now - timedelta(days=policy.months), counted)
        await _changed(database, STATEMENTS["forget_prompts"], {"cutoff": cutoff})
        for month, attached in months:
            if _end(month) <= cutoff:
                await _drop(database, month, attached=attached)

    for channel, cutoff in cutoffs.items():
        await _trim(database, channel, cutoff)


async def _cutoffs(
    connection: Connection, policy: Policy, now: datetime, counted: datetime
) -> Mapping[str, datetime]:
    """Up to where messages of each channel go. What is not summed up yet waits for that.

    Reports do not sum up earlier hours again, as they would count only what is left.
    """
    rows = await connection.scalars(STATEMENTS["channels_with_conversations"])
    cutoffs = {
        channel: min(now - timedelta(days=policy.days(channel)), counted)
        for channel in sorted(rows)
        if policy.days(channel) != FOREVER
    }
    for channel, cutoff in cutoffs.items():
        values = {"channel": channel, "cutoff": cutoff}
        await connection.execute(STATEMENTS["note_floor"], values)

    return cutoffs


async def _policy(connection: Connection, default: int | None) -> Policy:
    rows = await connection.execute(STATEMENTS["channel_retention"])
    own = {
        row.channel_type: read_settings(row.default_model, row.settings).retention
        for row in rows
    }
    channels = {name: days for name, days in own.items() if days is not None}

    return Policy(FOREVER if default is None else default, channels)


async def _months(connection: Connection) -> list[tuple[date, bool]]:
    rows = await connection.execute(STATEMENTS["months"])

    return [(row.month, row.attached) for row in rows]


def _end(month: date) -> datetime:
    year, index = divmod(month.year * 12 + month.month, 12)

    return datetime(year, index + 1, 1, tzinfo=UTC)


async def _drop(database: Database, month: date, *, attached: bool) -> None:
    """Takes a month out of the table, and then removes it."""
    since, until = datetime(month.year, month.month, 1, tzinfo=UTC), _end(month)
    if attached:
        async with transaction(database) as connection:
            statement = STATEMENTS["is_needed"]
            if await connection.scalar(statement, {"until": until}):
                log.info("a month of messages stays: answers are on their way")
                return

        values = {"since": since, "until": until, "limit": AT_ONCE}
        while await _changed(database, STATEMENTS["unvote"], values) == AT_ONCE:
            pass
        if not await _patiently(database, STATEMENTS["detach_month"], month):
            log.info("a month of messages stays for another hour: it is read")
            return

    steps = (STATEMENTS["detach_words_of_month"], STATEMENTS["drop_month"])
    for step in steps:
        if not await _patiently(database, step, month):
            return

    log.info("a month of messages was dropped", month=f"{month:%Y-%m}")


async def _patiently(database: Database, sql: str, month: date) -> bool:
    """Runs what needs a table for itself. False: others used it each time."""
    for _ in range(LOCK_TRIES):
        try:
            async with autocommit(database) as connection:
                done = await connection.scalar(sql, {"month": month})
                return done is not None
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(PAUSE_SECONDS)

    return False


async def _trim(database: Database, channel: str, cutoff: datetime) -> None:
    """Messages of one channel that are older than `cutoff`, in batches."""
    values = {"channel": channel, "cutoff": cutoff, "limit": CONVERSATIONS_AT_ONCE}
    seen: set[Any] = set()

    while True:
        async with transaction(database) as connection:
            rows = await connection.scalars(STATEMENTS["old_conversations"], values)
            found = [each for each in rows if each not in seen]
        if not found:
            return

        seen.update(found)
        here = {"conversations": found, "cutoff": cutoff}
        batch = here | {"limit": AT_ONCE}
        while await _count(database, STATEMENTS["delete_old_messages"], batch):
            pass
        await _changed(database, STATEMENTS["move_conversations"], here)


async def _count(database: Database, sql: str, values: Mapping[str, Any]) -> int:
    """How many, unless another instance is at it."""
    async with transaction(database) as connection:
        if not await connection.scalar(STATEMENTS["one_retains"]):
            return 0

        return int(await connection.scalar(sql, values) or 0)


async def _changed(database: Database, sql: str, values: Mapping[str, Any]) -> int:
    async with transaction(database) as connection:
        if not await connection.scalar(STATEMENTS["one_retains"]):
            return 0

        return await connection.count(sql, values)
