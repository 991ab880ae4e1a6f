"""How long things are kept, what a person is handed over, and how a person is forgotten."""

from __future__ import annotations

import asyncpg

from storage.connecting.statements import read_statements
from storage.postgres import GONE, connect

STATEMENTS = read_statements(__name__)


async def upkeep_is_due(database_url: str) -> bool:
    """Whether an erasure is not at its end, or no instance looked after the rest for a day,
    asked without what would carry it out. Also when Postgres does not say.

    On a connection of its own: asked once, it would keep one from what turns ask.
    """
    try:
        connection = await connect(database_url)
        try:
            return bool(await connection.fetchval(STATEMENTS["upkeep_is_due"]))
        finally:
            await connection.close()
    except (*GONE, asyncpg.PostgresError):
        return True
