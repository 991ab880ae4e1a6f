"""What the operators' commands share: who makes a change, being sure about it, and tables."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from agent.cli.run import asking
from agent.core.errors import ConfigurationError, Conflict
from agent.core.text import visible

if TYPE_CHECKING:
    from agent.app import OpenStores
    from agent.ports import LanguageModels
    from agent.settings import Settings
    from storage.control.audit import Author

Made = TypeVar("Made")

As = Annotated[
    str | None,
    typer.Option(
        "--as",
        help="Who makes the change; default: AGENT_OPERATOR, else the system's user.",
    ),
]
Reason = Annotated[
    str | None, typer.Option("--reason", help="Why; kept in the audit log.")
]
Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Do not ask, also for what concerns everybody."),
]
Expect = Annotated[
    int | None,
    typer.Option(
        "--expect",
        help="The version that was seen; refused when somebody changed it since.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document; never ask.")
]


def author(settings: Settings, name: str | None, reason: str | None) -> Author:
    """Whom the audit log names; `name` is what was typed. Raises Rejected when name or
    reason can not be kept.
    """
    from agent.cli.chat import user_name
    from storage.control.audit import Author

    name = settings.agent_operator or user_name() if name is None else name
    return Author(name, f"command line on {socket.gethostname()}", reason)


@asynccontextmanager
async def operating(
    settings: Settings,
) -> AsyncIterator[tuple[OpenStores, LanguageModels]]:
    """The stores, and the models that can be named. Raises ConfigurationError."""
    from agent.app import open_stores
    from agent.llm.router import open_models

    async with open_models(settings) as models, open_stores(settings) as stores:
        yield stores, models


def may_ask(*, as_json: bool) -> bool:
    """Whether a person is there to answer."""
    return (
        not as_json
        and sys.stdin is not None
        and sys.stdin.isatty()
        and sys.stderr.isatty()
    )


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Asks before what concerns everybody. Raises ConfigurationError when nobody can be asked."""
    if yes:
        return
    if not may_ask(as_json=as_json):
        raise ConfigurationError(f"{question} Add --yes to say so.")
    _ask(question)


def _ask(question: str) -> None:
    """Raises typer.Abort when the answer is no."""
    with asking():
        typer.confirm(visible(question), abort=True, err=True)


async def insist(
    change: Callable[[int], Awaitable[Made]],
    seen: int,
    newest: Callable[[], Awaitable[int]],
    *,
    as_json: bool,
) -> Made:
    """Makes a change to what was seen at this version. When somebody was faster, tells of
    it and asks again.
    """
    while True:
        try:
            return await change(seen)
        except Conflict as conflict:
            if not may_ask(as_json=as_json):
                raise
            _ask(f"{conflict.sentence} Do it now?")
            seen = await newest()


def complete_flag(incomplete: str) -> list[str]:
    """Flags that the code declares; those of operators would have to be asked of the database."""
    from agent.control.flags import DECLARED

    return [name for name in DECLARED if name.startswith(incomplete)]


def complete_channel(incomplete: str) -> list[str]:
    from storage.control.channel_settings import CHANNELS

    return [name for name in CHANNELS if name.startswith(incomplete)]


def show_table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], below: Sequence[str] = ()
) -> None:
    """Columns as wide as what is in them; the last one is never padded. `below` has a line
    to stand under each row.
    """
    texts = [[_in_one_line(cell) for cell in row] for row in (headers, *rows)]
    widths = [
        max(len(row[column]) for row in texts) for column in range(len(headers) - 1)
    ]
    for row, more in zip_longest(texts, ("", *below), fillvalue=""):
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        typer.echo("  ".join([*padded, row[-1]]).rstrip())
        if more:
            typer.echo(f"    {_in_one_line(more)}")


def _in_one_line(cell: object) -> str:
    return visible(" ".join(str(cell).split()))


def tell(line: str) -> None:
    """Prints a line that may tell of what somebody typed."""
    typer.echo(visible(line))


def show_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, default=str))
