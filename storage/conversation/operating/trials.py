"""Who tried a prompt out, on which models, and what it cost: two audit rows, without the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from agent.control.permissions import Permission
from agent.core.words.sizes import plain
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit, as_json
from storage.postgres import Database
from storage.transaction import transaction

ACTION = "playground.ask"
ANSWERED = "playground.answer"


async def admit_trial(database: Database, author: Author) -> None:
    """Raises Rejected for an operator who may not spend money."""
    async with transaction(database) as connection:
        await admit(connection, author, Permission.SPEND)


async def note_trial(
    database: Database,
    author: Author,
    models: Sequence[str],
) -> None:
    """Before these models may be asked. Without a row of `note_cost`, nobody knows the cost."""
    await _record(database, author, ACTION, {"models": [*models]})


async def note_cost(
    database: Database,
    author: Author,
    models: Sequence[str],
    cost: Decimal | None,
) -> None:
    """After these models answered. `cost` None: it is not known. Nobody's budget has it."""
    usd = None if cost is None else plain(cost)
    await _record(database, author, ANSWERED, {"models": [*models], "usd": usd})


async def _record(
    database: Database,
    author: Author,
    action: str,
    facts: Mapping[str, object],
) -> None:
    async with transaction(database) as connection:
        await audit.record(
            connection,
            author,
            action,
            "playground",
            before=None,
            after=as_json(facts),
            epoch=None,
        )
