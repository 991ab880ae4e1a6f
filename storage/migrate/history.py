"""Which migrations were applied: written with each of them, read for `agent db status`."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from msgspec import Struct

from storage.migrate.revisions import BASE, checksum_of, migrations
from storage.migrate.sql import STATEMENTS
from storage.postgres import connect

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from alembic.script import Script

SINCE = "0010"
"""The migration that made the table. Of those before it nothing is known, if they were
applied earlier.
"""

Row = asyncpg.Record


class Applied(Struct, frozen=True):
    """One migration of this version, and what is known of it."""

    revision: str
    title: str
    is_applied: bool
    applied_at: datetime | None = None
    """None, and the rest empty: not applied, or before anybody wrote it down."""
    actor: str = ""
    seconds: float | None = None
    has_changed: bool = False
    """Its file is not the one that was applied."""


class Recorder:
    """Alembic calls it after each migration, in the migration's transaction."""

    def __init__(self, actor: str) -> None:
        self._actor = actor
        self._since = time.monotonic()
        # applied in this transaction, before the table was there
        self._waiting: list[dict[str, Any]] = []

    def __call__(
        self,
        ctx: MigrationContext,
        step: MigrationInfo,
        heads: Collection[Any],
        run_args: Mapping[str, Any],
    ) -> None:
        """Writes what was applied, or forgets what was taken back."""
        from sqlalchemy import text

        now = time.monotonic()
        seconds, self._since = now - self._since, now
        if step.is_stamp:
            return

        script = cast("Script", step.up_revision)
        if step.is_upgrade:
            self._waiting.append(
                {
                    "revision": script.revision,
                    "actor": self._actor,
                    "checksum": checksum_of(script.path),
                    "seconds": round(seconds, 3),
                }
            )
            self._write(ctx, script.revision)
        elif script.revision > SINCE:
            forget = text(STATEMENTS["forget_applied"])
            ctx.execute(forget.bindparams(revision=script.revision))

    def _write(self, ctx: MigrationContext, reached: str) -> None:
        if reached < SINCE:
            return

        from sqlalchemy import text

        # values inside the statement, so that it can also be written to a script
        add = text(STATEMENTS["add_applied"])
        for row in self._waiting:
            ctx.execute(add.bindparams(**row))
        self._waiting.clear()


async def history(url: str, current: str | None) -> Sequence[Applied]:
    """Every migration of this version, the oldest first, for a schema at `current`."""
    order = [BASE, *(migration.revision for migration in migrations())]
    applied = set(order[: order.index(current or BASE) + 1])
    rows = await _rows(url)

    return [
        _view(
            Applied(one.revision, one.title, one.revision in applied),
            rows.get(one.revision),
            one.checksum,
        )
        for one in migrations()
    ]


def _view(migration: Applied, row: Row | None, checksum: str) -> Applied:
    if row is None or not migration.is_applied:
        return migration

    return Applied(
        migration.revision,
        migration.title,
        True,
        row["applied_at"],
        row["actor"],
        row["seconds"],
        row["checksum"] != checksum,
    )


async def _rows(url: str) -> dict[str, Row]:
    """By revision; none where the table is not there yet, or not to be read."""
    connection = await connect(url)
    try:
        rows = await connection.fetch(STATEMENTS["applied"])
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
        return {}
    finally:
        await connection.close()

    return {row["revision"]: row for row in rows}
