"""What all reports can be asked for, and the scope that it makes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from agent.cli.options import complete_channel, operating
from agent.core.errors import ConfigurationError
from agent.reports.usage import Subject, Unit

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.reports.source import Source

By = Annotated[
    Unit | None,
    typer.Option("--by", help="A line for each; in UTC, weeks from Monday."),
]
Channel = Annotated[
    str | None,
    typer.Option("--channel", help="Only this one.", autocompletion=complete_channel),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", help="Only its replies. Messages of people have no model."
    ),
]
Person = Annotated[
    str | None,
    typer.Option(
        "--person", help="One human: an account as channel:id, or the person's id."
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", help="A day or a full hour of UTC; default: 30 days ago."
    ),
]
Until = Annotated[
    str | None, typer.Option("--until", help="Before this day or hour; default: now.")
]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write a table of it there.")]
Parquet = Annotated[
    Path | None, typer.Option("--parquet", help="The same for data tools.")
]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Write a picture (SVG) there.")
]


class Wanted(Struct, frozen=True):
    """What was typed."""

    by: Unit | None = None
    channel: str | None = None
    model: str | None = None
    person: str | None = None
    since: str | None = None
    until: str | None = None
    csv: Path | None = None
    parquet: Path | None = None
    plot: Path | None = None
    as_json: bool = False


@asynccontextmanager
async def reading(
    settings: Settings, wanted: Wanted, subject: Subject | None
) -> AsyncIterator[Source]:
    """One snapshot. Raises Rejected for an unknown person or channel and for odd times."""
    from storage.control.targets import RuleTarget, audience_of
    from storage.reports.source import Asked, open_source
    from storage.transaction import transaction

    async with operating(settings) as (stores, _):
        target = RuleTarget(person=wanted.person, channel=wanted.channel)
        async with transaction(stores.database) as connection:
            audience = await audience_of(connection, target)

        asked = Asked(
            wanted.by,
            subject,
            audience.channel,
            wanted.model,
            audience.person,
            wanted.since,
            wanted.until,
        )
        async with open_source(
            settings, stores.database, asked, deadline=None
        ) as source:
            if source.notice:
                typer.echo(source.notice, err=True)
            yield source


def check_files(wanted: Wanted) -> None:
    """Raises ConfigurationError before anything is counted, when a file's folder is missing."""
    for path in (wanted.csv, wanted.parquet, wanted.plot):
        if path is not None and not path.parent.is_dir():
            raise ConfigurationError(
                f"There is no folder {path.parent}. Make it, or name another file."
            )
