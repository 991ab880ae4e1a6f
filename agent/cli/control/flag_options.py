"""What the commands for flags share: options that name a rule's scope, and the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.change import Proposal
from agent.cli.options import complete_channel, complete_flag, operating

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Entry
    from storage.control.flags import Changed, FlagAdmin

Name = Annotated[
    str,
    typer.Argument(
        help="The flag; `agent flags list` shows all.", autocompletion=complete_flag
    ),
]
Person = Annotated[
    str | None,
    typer.Option(
        "--person", help="One human: an account as channel:id, or the person's id."
    ),
]
Channel = Annotated[
    str | None,
    typer.Option(
        "--channel",
        help="Everybody on this channel.",
        autocompletion=complete_channel,
    ),
]
Chat = Annotated[
    str | None,
    typer.Option(
        "--chat", help="One chat or group of that channel, by the platform's id."
    ),
]
People = Annotated[
    list[str] | None,
    typer.Option(
        "--person",
        help="One human: an account as channel:id, or the person's id. May be repeated.",
    ),
]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        help="Everybody on this channel. May be repeated.",
        autocompletion=complete_channel,
    ),
]
RuleName = Annotated[
    str | None,
    typer.Option("--rule", help="The rule of this name; a rule may have any name."),
]
Starts = Annotated[
    str | None,
    typer.Option("--starts", help="From when on: 2026-03-01T14:00."),
]
Ends = Annotated[str | None, typer.Option("--ends", help="Until when.")]
Lasting = Annotated[
    str | None, typer.Option("--for", help="For how long: 30m, 1h, 2d12h.")
]
Kill = Annotated[
    bool,
    typer.Option(
        "--kill", help="Everybody, whatever the other rules say; they stay."
    ),
]


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[FlagAdmin]:
    """The operators' side of flags, on the stores of these settings."""
    from storage.control.flag_rules import ValueCheck
    from storage.control.flags import FlagAdmin

    async with operating(settings) as (stores, models):
        check = ValueCheck(models, settings.window_messages)
        yield FlagAdmin(stores.database, stores.pipe, check)


async def proposal(
    admin: FlagAdmin,
    name: str,
    make: Callable[[int | None], Awaitable[Changed]],
    question: str | None,
) -> Proposal[Changed]:
    """A change of the flag as it is now."""

    async def newest() -> int:
        return version_in(await admin.history(name, 1))

    return Proposal(make, question, await newest(), newest)


def version_in(history: Sequence[Entry]) -> int:
    """The number of the last change; 0: never changed."""
    return history[0].id if history else 0
