"""Reads the words of messages into the table that searches use, a few seconds after them.

One instance does it at a time, beside turns, and cuts texts into words in a thread of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg
import structlog

from agent.core.background import run_in_background
from agent.core.words.search import words_of
from storage.postgres import AGAIN, GONE, columns, connect
from storage.reports import STATEMENTS
from storage.reports.rollup import PLANNER

EVERY_SECONDS = 2.0
FEW, MANY = 500, 2_000
"""Messages in one transaction: the span of time that is read next grows or shrinks by them."""

SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=30)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

log = structlog.get_logger()


class SearchIndexer:
    """Brings the words of messages up to date."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._span = timedelta(minutes=10)

    async def catch_up(self) -> None:
        """Reads all that can be read now. Safe on several instances: one does it."""
        await self._connection.execute(STATEMENTS["make_search_partitions"])
        while await self._read_some():
            pass

    async def _read_some(self) -> bool:
        """Reads a span of time in one transaction. False: there was no more."""
        async with self._connection.transaction():
            found = await self._connection.fetchrow(STATEMENTS["messages_to_index"])
            if found is None:
                return False

            since, end = found["indexed_until"], found["until"]
            until = min(max(end, since), since + self._span)
            rows = await self._connection.fetch(
                STATEMENTS["unread_messages"], since, until
            )
            changed = await self._connection.fetch(STATEMENTS["changed_messages"])
            await self._store([*rows, *changed])
            await self._connection.execute(STATEMENTS["note_indexed"], until)

        self._adapt(len(rows))
        return bool(until < end)

    def _adapt(self, count: int) -> None:
        if count < FEW:
            self._span = min(self._span * 2, LONGEST)
        elif count > MANY:
            self._span = max(self._span / 4, SHORTEST)

    async def _store(self, rows: Sequence[asyncpg.Record]) -> None:
        if not rows:
            return

        texts = [row["content"] for row in rows]
        words = await asyncio.to_thread(lambda: [words_of(text) for text in texts])
        kept = {
            _key(row): _stored(row, found)
            for row, found in zip(rows, words, strict=True)
        }
        await self._connection.execute(
            STATEMENTS["store_words"], *columns(list(kept.values()))
        )


def _key(row: asyncpg.Record) -> tuple[UUID, datetime, int]:
    """A message that is new and changed comes twice; the later reading is the newer."""
    return row["conversation_id"], row["at"], row["seq"]


def _stored(row: asyncpg.Record, words: Sequence[str]) -> tuple[object, ...]:
    return (*_key(row), row["author"], "\n".join(words))


def search_index(database_url: str) -> AbstractAsyncContextManager[None]:
    """Inside, messages can be found by their words soon after they are stored."""
    return run_in_background(_keep_forever, database_url)


async def _keep_forever(database_url: str) -> None:
    while True:
        try:
            await _keep(database_url)
        except (*GONE, *AGAIN) as error:
            log.info("new messages were not read yet", error=type(error).__name__)
        # whatever it is: a loop that ends would read nothing any more
        except Exception as error:
            log.exception(
                "new messages were not read; it is tried again",
                error=type(error).__name__,
            )

        await asyncio.sleep(EVERY_SECONDS)


async def _keep(database_url: str) -> None:
    connection = await connect(database_url, None, PLANNER)
    try:
        indexer = SearchIndexer(connection)
        while True:
            await indexer.catch_up()
            await asyncio.sleep(EVERY_SECONDS)
    finally:
        connection.terminate()


async def index_now(database_url: str, since: datetime | None = None) -> None:
    """Reads all that is not read yet, or once more since then."""
    connection = await connect(database_url, None, PLANNER)
    try:
        if since is not None:
            await connection.execute(STATEMENTS["index_again"], since)
        await SearchIndexer(connection).catch_up()
    finally:
        await connection.close()
