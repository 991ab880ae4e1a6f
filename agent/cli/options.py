"""What the operators' commands share: their options, the author of a change, the stores."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.app import OpenStores
    from agent.llm.router import ModelRouter
    from agent.settings import Settings
    from storage.control.audit import Author

SERVICE_ACCOUNT = "agent"
"""The account of the image and of the unit in `deploy`."""

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
Force = Annotated[
    bool, typer.Option("--force", help="Also a model that no provider lists.")
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

    Raises Rejected when the log cannot keep the name or the reason, or when nobody is named.
    """
    from storage.control.audit import Author

    if name is None:
        name = settings.agent_operator or _person()

    return Author(name, f"command line on {socket.gethostname()}", reason)


def _person() -> str:
    """The system's user. In a container many people are the same one."""
    from agent.cli.chat import user_name
    from agent.core.errors import Rejected
    from agent.core.remedies import Amend

    name = user_name()
    if name == SERVICE_ACCOUNT:
        raise Rejected(
            f"The account {name} runs the program and is nobody's own.",
            Amend("identify", ("actor",)),
        )

    return name


@asynccontextmanager
async def operating(
    settings: Settings,
) -> AsyncIterator[tuple[OpenStores, ModelRouter]]:
    """The stores, and the models that can be named. Raises ConfigurationError."""
    from agent.app import open_stores
    from agent.llm.router import open_models

    async with open_models(settings) as models, open_stores(settings) as stores:
        yield stores, models


def complete_flag(incomplete: str) -> list[str]:
    """Flags that the code declares. Those of operators would need a query."""
    from agent.control.flags import DECLARED

    return [name for name in DECLARED if name.startswith(incomplete)]


def complete_channel(incomplete: str) -> list[str]:
    from storage.control.channel_settings import CHANNELS

    return [name for name in CHANNELS if name.startswith(incomplete)]
