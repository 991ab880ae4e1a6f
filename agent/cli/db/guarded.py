"""`agent db downgrade` and `agent db reset`: said, asked, done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from msgspec import Struct

from agent.cli import output
from agent.cli.change import ChangeOptions, confirm, may_ask
from agent.cli.db import backup_first
from agent.cli.options import author
from agent.cli.output import show_json, tell
from agent.cli.run import WELL, Command, asking
from agent.core.errors import ConfigurationError
from agent.core.remedies import Run

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.migrate.losses import Loss


class Guards(Struct, frozen=True):
    """How far somebody wants to go without being held back."""

    options: ChangeOptions
    force: bool
    """Although instances are running."""
    backup: bool
    """A backup is made first."""


class _Change(Struct, frozen=True):
    """A change of the schema that may be made now, if it is agreed to."""

    url: str
    database: str
    by: Author
    before: str | None
    target: str
    lost: Sequence[Loss]
    again: Run | None
    """What is said to somebody who is held back by running instances."""


def downgrading(revision: str, guards: Guards) -> Command:
    """Takes the schema back to a revision."""

    async def work(settings: Settings) -> int:
        from agent.operations.connect import reach_postgres
        from storage.migrate.guarded import take_back

        again = Run("db downgrade", "does it all the same", revision, "force")
        async with reach_postgres(settings) as postgres:
            change = await _propose(settings, postgres.url, revision, guards, again)
            if change.target == (change.before or "base"):
                return _nothing_to_do(change, guards)

            question = (
                f"This takes the schema of {change.database} back from "
                f"{change.before} to {change.target}. {_told(settings, change, guards)} Do it?"
            )
            confirm(question, guards.options)
            backup = await _backed_up(settings, change, guards)
            kept = await take_back(
                change.url,
                change.before,
                change.target,
                change.by,
                change.lost,
                change.again,
            )

        _show(change, guards, backup, logged=kept)

        return WELL

    return work


def resetting(name: str | None, guards: Guards) -> Command:
    """Removes all data of the agent. `name`: the database's, as it was typed."""

    async def work(settings: Settings) -> int:
        from agent.operations.connect import reach_postgres
        from storage.migrate.guarded import start_over
        from storage.migrate.version import HEAD

        again = Run("db reset", "does it all the same", consent="force")
        async with reach_postgres(settings) as postgres:
            change = await _propose(settings, postgres.url, "base", guards, again)
            question = (
                f"This empties the agent's tables in {change.database}, the audit log "
                f"and its operators with them. {_told(settings, change, guards)}"
            )
            _confirm_name(question, change.database, name, guards.options)
            backup = await _backed_up(settings, change, guards)
            await start_over(
                change.url, change.before, change.by, change.lost, change.again
            )

        _show(change, guards, backup, logged=True, reached=HEAD)

        return WELL

    return work


async def _propose(
    settings: Settings, url: str, revision: str, guards: Guards, again: Run
) -> _Change:
    """Raises ConfigurationError when it is not possible, or not for this author, or not now."""
    from storage.migrate.guarded import check_may_change, name_of_database
    from storage.migrate.losses import losses
    from storage.migrate.revisions import target_of
    from storage.migrate.version import current_revision

    by = author(settings, guards.options.as_, guards.options.reason)
    before = await current_revision(url)
    target = target_of(revision, before, "downgrade")
    held_back_by = None if guards.force else again
    await check_may_change(url, by, held_back_by)
    lost = await losses(url, target) if target != (before or "base") else []

    return _Change(
        url,
        await name_of_database(url),
        by,
        before,
        target,
        lost,
        held_back_by,
    )


def _told(settings: Settings, change: _Change, guards: Guards) -> str:
    """What will be lost, and whether it can be brought back."""
    lost = ", ".join(map(str, change.lost))
    backup = backup_first.sentence(settings, wanted=guards.backup)

    return f"Lost: {lost}. {backup}" if lost else f"No row is lost. {backup}"


def _confirm_name(
    question: str, database: str, typed: str | None, options: ChangeOptions
) -> None:
    """Raises ConfigurationError unless the database's name is given."""
    if typed is None and not may_ask(as_json=options.as_json):
        raise ConfigurationError(f"{question} Add --confirm {database} to say so.")

    if typed is None:
        with asking():
            typed = typer.prompt(
                output.question(f"{question} Type the database's name to go on"),
                err=True,
            )
    if typed != database:
        raise ConfigurationError(
            f"The database is not called {typed!r}; nothing was changed."
        )


async def _backed_up(
    settings: Settings, change: _Change, guards: Guards
) -> Path | None:
    return await backup_first.back_up(
        settings, change.url, wanted=guards.backup, as_json=guards.options.as_json
    )


def _nothing_to_do(change: _Change, guards: Guards) -> int:
    _show(change, guards, None, logged=True)

    return WELL


def _show(
    change: _Change,
    guards: Guards,
    backup: Path | None,
    *,
    logged: bool,
    reached: str | None = None,
) -> None:
    from storage.migrate.version import HEAD

    target = None if change.target == "base" else change.target
    schema = reached or target
    if guards.options.as_json:
        show_json(
            {
                "schema": schema,
                "needed": HEAD,
                "lost": {loss.table: loss.rows for loss in change.lost},
                "backup": backup,
                "logged": logged,
            }
        )
        return

    tell(f"schema {schema or 'empty'}")
    if not logged:
        tell(
            f"The audit log went with it. Note it elsewhere: {change.by.name} took "
            f"{change.database} back from {change.before} to {change.target}."
        )
