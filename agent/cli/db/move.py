"""`agent db move`: to a server, back to the embedded store, or to its next Postgres."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from agent.cli.options import author
from agent.cli.output import show_json, tell
from agent.cli.run import WELL, Command
from agent.cli.stores.progress import bytes_done

if TYPE_CHECKING:
    from agent.operations.moving import Move
    from agent.settings import Settings
    from storage.backup.move import Moved

VARIABLE = "DATABASE_URL"


class MoveOptions(Struct, frozen=True):
    """What was typed."""

    to: str
    source: str | None
    programs: Path | None
    write_env: bool
    as_: str | None
    as_json: bool


def moving(options: MoveOptions) -> Command:
    """Moves everything, and says what comes next."""

    async def work(settings: Settings) -> int:
        from agent.operations.moving import Move, move, source_of

        by = author(settings, options.as_, None)
        source = source_of(settings, options.source)
        wanted = Move(source, options.to, options.programs)
        with bytes_done("Moving") as progress:
            moved = await move(settings, wanted, by, progress)

        written = options.write_env and _write(wanted)
        if options.as_json:
            show_json({**_facts(moved), "env_written": written})
        else:
            _show(moved, wanted, written=written)

        return WELL

    return work


def _write(wanted: Move) -> bool:
    """Names the new store in `.env`."""
    from agent.operations.env_file import in_quotes, write_env
    from agent.operations.moving import EMBEDDED
    from agent.settings import ENV_FILE

    value = "" if wanted.target == EMBEDDED else wanted.target
    write_env(ENV_FILE, {VARIABLE: in_quotes(value)})

    return True


def _facts(moved: Moved) -> dict[str, object]:
    manifest = moved.manifest

    return {
        "well": True,
        "rows": {name: table.rows for name, table in manifest.tables.items()},
        "audit": {"rows": manifest.audit_rows, "head": manifest.audit_head},
        "schema": manifest.schema,
        "kept": moved.kept,
    }


def _show(moved: Moved, wanted: Move, *, written: bool) -> None:
    from agent.cli.stores.backup import described
    from storage.migrate import HEAD

    tell(f"Moved {described(moved.manifest)}, each as it was.")
    tell(_about_the_old_one(moved, wanted))
    if moved.manifest.schema != HEAD:
        tell("Its schema is older than this version's: run agent db upgrade.")
    if next_step := _next_step(wanted, written=written):
        tell(next_step)


def _about_the_old_one(moved: Moved, wanted: Move) -> str:
    from agent.operations.moving import EMBEDDED

    kept = f"What stood in its place is kept: {moved.kept}." if moved.kept else ""
    if wanted.source == EMBEDDED == wanted.target:
        return kept

    old = (
        "The old store is kept. What was open goes on in the new one alone: do not run the "
        "agent on both."
    )

    return f"{old} {kept}".strip()


def _next_step(wanted: Move, *, written: bool) -> str:
    from agent.operations.moving import EMBEDDED

    if wanted.target == wanted.source:
        return ""

    embedded = wanted.target == EMBEDDED
    if written and os.environ.get(VARIABLE, ""):
        return f"{VARIABLE} is set in the environment, which wins over .env: change it there."
    if written:
        return f"{VARIABLE} in .env names the new store."
    if embedded:
        return f"Next: remove {VARIABLE} from .env and from the environment."

    return f"Next: set {VARIABLE} in .env to the URL that you gave with --to."
