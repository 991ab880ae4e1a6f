"""What the operators' commands share: their options, the author of a change, the stores."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from agent.cli.output import never_fold

if TYPE_CHECKING:
    from agent.llm.router import ModelRouter
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.migrate.stores import OpenStores

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


class Group(TyperGroup):
    """Commands of which each that prints JSON on demand can also print wide."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for command in self.commands.values():
            if any("--json" in one.opts for one in command.params):
                command.params.append(_wide())


def _wide() -> Any:
    """The option, made by typer of a command that has nothing else."""
    donor = typer.Typer(add_completion=False)

    @donor.command()
    def wide(
        wide: Annotated[
            bool,
            typer.Option(
                "--wide",
                expose_value=False,
                callback=never_fold,
                help="Never fold lines, however narrow the terminal is.",
            ),
        ] = False,
    ) -> None: ...

    return typer.main.get_command(donor).params[0]


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
    from agent.core.errors import Rejected
    from agent.core.remedies import Amend

    name = user_name()
    if name == SERVICE_ACCOUNT:
        raise Rejected(
            f"The account {name} runs the program and is nobody's own.",
            Amend("identify", ("actor",)),
        )

    return name


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
) -> AsyncIterator[tuple[OpenStores, ModelRouter]]:
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


def complete_assignment(incomplete: str) -> list[str]:
    """`name=` of what can be set for a channel."""
    from storage.control.channel_settings import ChannelForm

    return [
        f"{name}=" for name in ChannelForm.model_fields if name.startswith(incomplete)
    ]


def complete_credential(incomplete: str) -> list[str]:
    from storage.control.channels import CREDENTIALS

    names = {name for known in CREDENTIALS.values() for name in known}

    return sorted(name for name in names if name.startswith(incomplete))
