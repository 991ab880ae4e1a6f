"""A transaction outside turns, with its errors in the project's own words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from agent.core.errors import StoreUnavailable
from storage.connecting.postgres_errors import AGAIN, GONE, sentence_of
from storage.postgres import Database

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import AsyncConnection

_AWAY = (
    "Postgres cannot be reached; nothing was changed. Try again when it is back, or "
    "correct DATABASE_URL."
)


@asynccontextmanager
async def transaction(
    database: Database,
    away: str = _AWAY,
) -> AsyncIterator[AsyncConnection]:
    """One transaction, committed at the end. Raises StoreUnavailable with the sentence
    `away` when the server is.
    """
    with _in_own_words(away):
        async with database.engine.begin() as connection, _left_if_gone(connection):
            yield connection


@asynccontextmanager
async def autocommit(database: Database) -> AsyncIterator[AsyncConnection]:
    """Each statement is a transaction of its own: its locks are held for no round trip.

    Raises StoreUnavailable.
    """
    with _in_own_words(_AWAY):
        async with database.engine.connect() as connection, _left_if_gone(connection):
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def _in_own_words(away: str) -> Iterator[None]:
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except (*GONE, DBAPIError) as error:
        problem = sentence_of(error)
        if isinstance(error, DBAPIError) and not (
            error.connection_invalidated or _is(error, *GONE, *AGAIN) or problem
        ):
            raise
        if problem is None:
            raise StoreUnavailable(away) from error
        # What an operator can mend is said to operators; everybody else hears `away`.
        raise StoreUnavailable(
            problem if away == _AWAY else away, problem=problem
        ) from error


@asynccontextmanager
async def _left_if_gone(connection: AsyncConnection) -> AsyncIterator[None]:
    """Otherwise the pool would keep a connection to a server that is no longer the primary."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        if _is(error, *GONE):
            await connection.invalidate()
        raise


def _is(error: DBAPIError, *kinds: type[Exception]) -> bool:
    """Whether the driver's own error, inside SQLAlchemy's two, is of these kinds."""
    own = error.orig.__cause__ if error.orig else None
    cannot_encode = isinstance(own, ValueError)  # an InterfaceError of asyncpg, too

    return isinstance(own, kinds) and not cannot_encode
