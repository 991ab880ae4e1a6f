"""One backup at a time, over all instances."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from storage.backup import STATEMENTS
from storage.backup.failures import told
from storage.connecting.postgres import connect

BACKUP_LOCK = 7_061_206_102
"""A number that nothing else locks."""


@asynccontextmanager
async def alone(url: str) -> AsyncIterator[bool]:
    """Whether no other instance makes a backup now; inside, none begins.

    Postgres frees the lock when this process dies. Raises ConfigurationError.
    """
    with told(Path(), "No backup was made."):
        connection = await connect(url)
        try:
            yield bool(
                await connection.fetchval(STATEMENTS["take_turn"], BACKUP_LOCK)
            )
        finally:
            await connection.close(timeout=1)
