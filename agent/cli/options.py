"""What the operators' commands share: their options, the author of a change, the stores."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.ports import LanguageModels
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.migrate.stores import OpenStores

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
    typer.Option("--yes", "-y", help="Do not ask, even about changes for everybody."),
]
Expect = Annotated[
    int | None,
    typer.Option(
        "--expect",
        help="The version you saw; refused when somebody changed it since.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document; never ask.")
]


def author(settings: Settings, name: str | None, reason: str | None) -> Author:
    """The author that the audit log names; `name` is what was typed.

    Raises Rejected when the log cannot keep the name or the reason.
    """
    from storage.control.audit import Author

    if name is None:
        name = settings.agent_operator or user_name()

    return Author(name, f"command line on {socket.gethostname()}", reason)


def user_name() -> str:
    """The system's name of this user; it names their conversations in the terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # a user without an entry, as in containers
        return f"uid-{os.getuid()}"


@asynccontextmanager
async def operating(
    settings: Settings,
) -> AsyncIterator[tuple[OpenStores, LanguageModels]]:
    """The stores, and the models that can be named. Raises ConfigurationError."""
    from agent.llm.router import open_models
    from storage.migrate.stores import open_stores

    async with open_models(settings) as models, open_stores(settings) as stores:
        yield stores, models


def complete_flag(incomplete: str) -> list[str]:
    """Flags that the code declares. Those of operators would need a query."""
    from agent.control.flags import DECLARED

    return [name for name in DECLARED if name.startswith(incomplete)]


def complete_channel(incomplete: str) -> list[str]:
    from storage.control.channel_settings import CHANNELS

    return [name for name in CHANNELS if name.startswith(incomplete)]
