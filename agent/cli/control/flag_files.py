"""`agent flags export` and `import`: what is set, as a file under version control."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.change import ChangeOptions, Proposal, run_change
from agent.cli.options import As, Json, Reason, Yes, operating
from agent.cli.output import show_json, tell
from agent.cli.run import WELL, run
from agent.control.flag_document import MAX_BYTES, read_document
from agent.core.errors import Rejected
from agent.core.text import visible

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.control.flags.files import FlagFiles, Planned

To = Annotated[
    Path | None, typer.Argument(help="The file to write; without it, it is printed.")
]
From = Annotated[
    Path, typer.Argument(help="A file that export wrote; - reads a pipe.")
]


def export(file: To = None, as_json: Json = False) -> None:
    """Write all flags that are set, with owners and tags, as JSON: the same state gives the
    same bytes.
    """

    async def write(settings: Settings) -> int:
        async with _open_files(settings) as files:
            document = await files.export()
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
        if file is not None:
            _save(file, text + "\n")
        if file is None:
            typer.echo(text)
        elif as_json:
            show_json({"file": str(file), "flags": sorted(document["flags"])})
        else:
            tell(f"Wrote {_counted(len(document['flags']))} to {file}.")

        return WELL

    run(write)


def import_(
    file: From,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make flags as a file says, all at once. The difference is shown first; flags that the
    file does not name stay.
    """
    wanted = read_document(_read(file))

    async def propose(files: FlagFiles, by: Author) -> Proposal[Sequence[Planned]]:
        planned = await files.plan(wanted)
        if planned and not as_json:
            _show_plan(planned)

        return Proposal(
            lambda _: files.apply(wanted, planned, by),
            f"Change {_counted(len(planned))} as shown?" if planned else None,
        )

    run_change(_open_files, propose, _show, ChangeOptions(as_, reason, as_json, yes))


def _counted(flags: int) -> str:
    return "one flag" if flags == 1 else f"{flags} flags"


def _show_plan(planned: Sequence[Planned]) -> None:
    from storage.control.changes import difference

    for one in planned:
        tell(f"{one.name}: {difference(one.before, one.after)}")


def _show(made: Sequence[Planned], /, *, as_json: bool) -> None:
    if as_json:
        changes = [
            {"flag": one.name, "before": one.before, "after": one.after}
            for one in made
        ]
        show_json({"changed": changes})
    elif made:
        typer.echo("Done: flags are as the file says.")
    else:
        typer.echo("Nothing to change: flags are as the file says.")


def _read(file: Path) -> bytes:
    """Raises Rejected."""
    if str(file) == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)

    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except (OSError, ValueError):
        raise Rejected(
            f"{visible(str(file))} cannot be read. Name a file that `agent flags export` "
            "wrote."
        ) from None


def _save(file: Path, text: str) -> None:
    """Raises Rejected."""
    try:
        file.write_text(text, encoding="utf-8")
    except (OSError, ValueError):
        raise Rejected(
            f"{visible(str(file))} cannot be written. Name another file."
        ) from None


@asynccontextmanager
async def _open_files(settings: Settings) -> AsyncIterator[FlagFiles]:
    from storage.control.flag_rules import ValueCheck
    from storage.control.flags.files import FlagFiles

    async with operating(settings) as (stores, models):
        check = ValueCheck(models, settings.window_messages)
        yield FlagFiles(stores.database, stores.pipe, check)
