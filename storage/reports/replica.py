"""The replica that reports are read from, where there is one."""

from __future__ import annotations

from agent.settings import Settings
from storage.connecting.requirements import check_connection


async def replica_url(settings: Settings) -> str | None:
    """Where reports are read from, if not from the main database. Raises ConfigurationError."""
    if settings.database_replica_url is None:
        return None

    url = settings.database_replica_url.get_secret_value()
    found = await check_connection(url, "DATABASE_REPLICA_URL", replica=True)

    return found.url
