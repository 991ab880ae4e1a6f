"""Who tried a prompt out, on which models, and what it cost: an audit row, without the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from agent.control.permissions import Permission
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit, as_json
from storage.postgres import Database
from storage.transaction import transaction

ACTION = "playground.ask"


async def admit_trial(database: Database, author: Author) -> None:
    """Raises Rejected for an operator who may not spend money."""
    async with transaction(database) as connection:
        await admit(connection, author, Permission.SPEND)


async def note_trial(
    database: Database,
    author: Author,
    models: Sequence[str],
    cost: Decimal | None,
) -> None:
    """`cost` None: it is not known. Nobody's budget has it."""
    usd = None if cost is None else str(cost)
    async with transaction(database) as connection:
        await audit.record(
            connection,
            author,
            ACTION,
            "playground",
            before=None,
            after=as_json({"models": list(models), "usd": usd}),
            epoch=None,
        )
