"""`agent export …`: data for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from agent.cli.options import As, Group, Json, author, operating
from agent.cli.output import show_json, tell
from agent.cli.run import WELL, run
from agent.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent.settings import Settings

app = typer.Typer(cls=Group, help="Data for other programs.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `training` a command of its own."""


@app.command()
def training(
    since: Annotated[str, typer.Option(help="From when on, as 2026-03-01T00:00Z.")],
    file: Annotated[Path, typer.Argument(help="A file to write, in JSON lines.")],
    channel: Annotated[str | None, typer.Option(help="Of one channel alone.")] = None,
    as_: As = None,
    as_json: Json = False,
) -> None:
    """Write conversations in which everybody agreed to training, with secrets masked."""

    async def work(settings: Settings) -> int:
        from agent.control.permissions import Permission
        from storage.control.changes import admit
        from storage.control.targets import RuleTarget, audience_of, moment
        from storage.lifecycle.training import training_lines
        from storage.transaction import transaction

        begin = moment(since)
        async with operating(settings) as (stores, _):
            async with transaction(stores.database) as connection:
                by = author(settings, as_, None)
                await admit(connection, by, Permission.MANAGE)
                # refuses a channel that there is not
                await audience_of(connection, RuleTarget(channel=channel))
            lines = training_lines(stores.database, begin, channel)
            count = await _write(file, lines)
        if as_json:
            show_json({"file": file, "conversations": count})
        else:
            tell(_said(file, count))

        return WELL

    run(work)


def _said(file: Path, count: int) -> str:
    if count == 0:
        return f"{file} is empty: there is no conversation in which everybody agreed."
    conversations = "one conversation" if count == 1 else f"{count:,} conversations"

    return f"Wrote {conversations} to {file}."


async def _write(file: Path, lines: AsyncIterator[str]) -> int:
    """Returns how many. Raises ConfigurationError."""
    count = 0
    try:
        with _private(file) as target:
            async for line in lines:
                target.write(line + "\n")
                count += 1
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be written ({error.strerror}): name another file."
        ) from error

    return count


def _private(file: Path) -> IO[str]:
    """For its owner's eyes."""
    file.touch(mode=0o600)

    return file.open("w", encoding="utf-8")
