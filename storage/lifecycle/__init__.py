"""How long things are kept, what a person is handed over, and how a person is forgotten."""

from __future__ import annotations

from storage.connecting.statements import read_statements
from storage.postgres import Database

STATEMENTS = read_statements(__name__)


async def erasure_waits(database: Database) -> bool:
    """Whether one is not at its end, asked without what would carry it out.

    Raises StoreUnavailable.
    """
    rows = await database.line().fetch(STATEMENTS["erasure_waits"])

    return bool(rows[0]["waits"])
