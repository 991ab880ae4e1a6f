"""When flags were asked for: noted by each process, written every few minutes, apart from turns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

import structlog
from msgspec import Struct

from agent.control.rules import NO_RULE
from agent.control.uses import FlagUse, FlagUses
from agent.core.background import run_in_background
from agent.core.errors import StoreUnavailable
from storage.connecting.connection import Connection
from storage.control import STATEMENTS
from storage.control.flag_rules import subject_of
from storage.control.flags.views import FlagView
from storage.postgres import Database
from storage.transaction import transaction

FIRST_SECONDS = 10.0
"""A process that is restarted often still tells which flags it asked for."""

EVERY_SECONDS = 300.0
STALE_DAYS = 30
"""For so long a flag was not asked for, or always the same, before it is called stale."""

log = structlog.get_logger()


class Stale(Struct, frozen=True):
    """A flag that an operator may want to remove, or whose rules."""

    name: str
    owner: str | None
    since: datetime
    why: str


async def write_uses(database: Database, uses: Sequence[FlagUse]) -> None:
    """One statement. Raises StoreUnavailable."""
    if not uses:
        return

    values = {
        "names": [use.name for use in uses],
        "digests": [use.digest for use in uses],
        "varied": [use.name for use in uses if use.varied],
    }
    async with transaction(database) as connection:
        await connection.execute(STATEMENTS["note_uses"], values)


def record_uses(
    database: Database, uses: FlagUses
) -> AbstractAsyncContextManager[None]:
    """Inside, what was noted is written every few minutes."""
    return run_in_background(_record_forever, database, uses)


async def _record_forever(database: Database, uses: FlagUses) -> None:
    pause = FIRST_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = EVERY_SECONDS
        try:
            await write_uses(database, uses.take())
        except StoreUnavailable:
            pass  # the heartbeat logs it
        # whatever it is: a loop that ends would let all flags look stale
        except Exception as error:
            log.exception("uses of flags were not noted", error=type(error).__name__)


async def stale_flags(
    connection: Connection, views: Sequence[FlagView], days: int = STALE_DAYS
) -> list[Stale]:
    """Flags with rules, or made by operators, that were not asked for in this time, or were
    always the same. What is younger than that, or was changed since, is not judged.
    """
    rows = await connection.execute(STATEMENTS["flag_uses"])
    if not rows:
        return []

    used = {row.name: (row.asked_at, row.same_since) for row in rows}
    changes = await connection.execute(STATEMENTS["changed_at"])
    changed = {row.subject: row.last for row in changes}
    noted, border = rows[0].since, rows[0].now - timedelta(days=days)
    found = []

    for view in views:
        last = changed.get(subject_of(view.flag.name), noted)
        if not _is_kept_for_something(view) or max(last, noted) > border:
            continue
        if stale := _judged(view, used.get(view.flag.name), last, border):
            found.append(stale)

    return found


def _is_kept_for_something(view: FlagView) -> bool:
    has_rules = any(scope not in NO_RULE for scope in view.rules)

    return (has_rules or not view.declared) and view.experiment is None


def _judged(
    view: FlagView,
    used: tuple[datetime, datetime] | None,
    changed: datetime,
    border: datetime,
) -> Stale | None:
    name, owner = view.flag.name, view.owner
    if used is None:
        return Stale(name, owner, changed, "it was never asked for")

    asked, same = used
    if asked <= border:
        return Stale(name, owner, asked, "it was not asked for")
    if same <= border:
        return Stale(name, owner, same, "it was the same for everybody")

    return None
