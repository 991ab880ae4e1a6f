"""`agent db status`: which migrations are applied, and which are not yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from agent.cli.output import show_json, show_table, tell
from agent.cli.run import NOT_WELL, WELL

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.migrate.history import Applied

_UNKNOWN = "unknown when"
"""Of what was applied before anybody wrote it down."""

_PENDING = "pending"


async def status(settings: Settings, *, as_json: bool) -> int:
    """Shows every migration. Exit status 1 when the schema is not the one that is needed."""
    from agent.operations.connect import reach_postgres
    from storage import migrate
    from storage.migrate.history import history
    from storage.migrate.revisions import check_known

    async with reach_postgres(settings) as postgres:
        current = await migrate.current_revision(postgres.url)
        check_known(current)
        found = await history(postgres.url, current)

    if as_json:
        show_json(_document(current, migrate.HEAD, found))
    else:
        _show(current, migrate.HEAD, found)

    return WELL if current == migrate.HEAD else NOT_WELL


def _document(
    current: str | None, needed: str, found: Sequence[Applied]
) -> dict[str, object]:
    applied = [asdict(one) for one in found if one.is_applied]
    for one in applied:
        del one["is_applied"]

    return {
        "well": current == needed,
        "schema": current,
        "needed": needed,
        "applied": applied,
        "pending": [
            {"revision": one.revision, "title": one.title}
            for one in found
            if not one.is_applied
        ],
    }


def _show(current: str | None, needed: str, found: Sequence[Applied]) -> None:
    tell(f"schema {current or 'empty'}, needed {needed}")
    show_table(("MIGRATION", "APPLIED", "BY", "SECONDS", "WHAT"), [*map(_row, found)])

    for one in found:
        if one.has_changed:
            tell(
                f"{one.revision} changed after it was applied. "
                "`agent db check` compares its tables with the code."
            )
    if current != needed:
        tell("Run: agent db upgrade")


def _row(one: Applied) -> tuple[str, str, str, str, str]:
    when = _UNKNOWN if one.is_applied else _PENDING
    if one.applied_at is not None:
        when = one.applied_at.astimezone().isoformat(" ", "seconds")
    seconds = "" if one.seconds is None else f"{one.seconds:.2f}"

    return one.revision, when, one.actor, seconds, one.title
