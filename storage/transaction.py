"""A transaction outside turns, with its errors in the project's own words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from agent.core.errors import StoreUnavailable
from storage.connecting.connection import Connection
from storage.connecting.postgres_errors import AGAIN, GONE, sentence_of
from storage.postgres import Database

_AWAY = (
    "Postgres cannot be reached; nothing was changed. Try again when it is back, or "
    "correct DATABASE_URL."
)


@asynccontextmanager
async def transaction(
    database: Database,
    away: str = _AWAY,
) -> AsyncIterator[Connection]:
    """One transaction, committed at the end. Raises StoreUnavailable with the sentence
    `away` when the server is.
    """
    with _in_own_words(away):
        async with database.transaction() as driver:
            yield Connection(driver)


@asynccontextmanager
async def autocommit(database: Database) -> AsyncIterator[Connection]:
    """Each statement is a transaction of its own: its locks are held for no round trip.

    Raises StoreUnavailable.
    """
    with _in_own_words(_AWAY):
        async with database.connection() as driver:
            yield Connection(driver)


@contextmanager
def _in_own_words(away: str) -> Iterator[None]:
    try:
        yield
    except (*GONE, asyncpg.PostgresError) as error:
        problem = sentence_of(error)
        cannot_encode = isinstance(error, ValueError)  # an InterfaceError, too
        if cannot_encode or not (problem or isinstance(error, (*GONE, *AGAIN))):
            raise
        if problem is None:
            raise StoreUnavailable(away) from error
        # What an operator can mend is said to operators; everybody else hears `away`.
        raise StoreUnavailable(
            problem if away == _AWAY else away, problem=problem
        ) from error
