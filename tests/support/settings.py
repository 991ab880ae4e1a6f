"""Settings as an operator stores them, with the epoch that makes them known."""

from __future__ import annotations

import json
from typing import Any

from storage.control.audit import Author
from storage.postgres import connect

OPERATOR = Author("grace", "tests")

_SET = """
INSERT INTO channel_configs (id, channel_type, default_model, settings)
VALUES (gen_random_uuid(), $1, $2, $3)
ON CONFLICT (channel_type) DO UPDATE
SET default_model = excluded.default_model, settings = excluded.settings
"""


async def set_channel(
    database_url: str,
    name: str = "test",
    *,
    default_model: str | None = None,
    **settings: Any,
) -> None:
    """Replaces all that is set for a channel."""
    await run(database_url, _SET, name, default_model, json.dumps(settings))
    await run(database_url, "UPDATE control_epoch SET epoch = epoch + 1")


async def run(database_url: str, sql: str, *args: Any) -> list[Any]:
    """One statement, in a connection of its own."""
    connection = await connect(database_url)
    try:
        return list(await connection.fetch(sql, *args))
    finally:
        await connection.close()
