"""Which models are in use, by settings and by operators; and which experiments."""

from __future__ import annotations

from agent.settings import Settings
from storage.postgres import Database
from storage.reports import STATEMENTS
from storage.transaction import transaction


async def models_in_use(
    settings: Settings,
    database: Database | None,
) -> list[str]:
    """Each once; those that operators named only if there is a database."""
    named = [settings.model, *settings.fallback_models]
    stored = await models_named(database) if database else []

    return list(dict.fromkeys((*named, *stored)))


async def models_named(
    database: Database,
) -> list[str]:
    """By operators, for channels and by flags: each once, sorted.

    What is no `provider:model` is left out.
    """
    async with transaction(database) as connection:
        rows = await connection.execute(STATEMENTS["models_named"])

        return sorted(row.model for row in rows if ":" in row.model)


async def started_experiments(database: Database) -> list[str]:
    """Those that run or ran, the last one first."""
    async with transaction(database) as connection:
        rows = await connection.scalars(STATEMENTS["started_experiments"])

        return [str(name) for name in rows]
