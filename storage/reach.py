"""A connection for what is no turn: its errors in the project's own words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.errors import StoreUnavailable
from storage.postgres import GONE, Database

_AWAY = "Postgres can not be reached; nothing was changed. Try again when it is back, or correct DATABASE_URL."


@asynccontextmanager
async def reached(database: Database, away: str = _AWAY) -> AsyncIterator[AsyncConnection]:
    """One transaction, committed at the end. Raises StoreUnavailable with the sentence `away` when the server is."""
    try:
        async with database.engine.begin() as connection:
            yield connection
    except (*GONE, DBAPIError) as error:
        if isinstance(error, DBAPIError) and not error.connection_invalidated:
            raise
        raise StoreUnavailable(away) from error
