"""`agent channels …`: what the agent is on each channel, while it runs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.change import ChangeOptions, Proposal, may_ask, run_change
from agent.cli.options import (
    As,
    Expect,
    Force,
    Group,
    Json,
    Reason,
    Yes,
    complete_assignment,
    complete_channel,
    complete_credential,
    operating,
)
from agent.cli.output import show_json, tell
from agent.cli.run import WELL, asking, run
from agent.core.errors import Rejected

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.control.channels import ChannelAdmin, ChannelView
    from storage.control.credentials import Secrets

    Vault = tuple[ChannelAdmin, Secrets]

app = typer.Typer(
    cls=Group,
    help="Settings of each channel: model, system prompt, overlap, limits, "
    "greeting, who may talk, credentials.",
    no_args_is_help=True,
)

Name = Annotated[
    str,
    typer.Argument(
        help="discord, slack, telegram or terminal.",
        autocompletion=complete_channel,
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Argument(
        help="name=value; a list is written with commas.",
        metavar="NAME=VALUE …",
        autocompletion=complete_assignment,
    ),
]
Unset = Annotated[
    list[str] | None,
    typer.Option("--unset", help="Take a setting back to its default."),
]
Credential = Annotated[
    str,
    typer.Argument(
        help="token; for discord also public_key; for slack bot_token, "
        "app_token or signing_secret.",
        autocompletion=complete_credential,
    ),
]
Remove = Annotated[bool, typer.Option("--remove", help="Forget it.")]
Forget = Annotated[
    bool,
    typer.Option(
        "--forget",
        help="Give up what the channel has if no key of ENCRYPTION_KEYS opens it.",
    ),
]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show all channels and what is set for them."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.channels_view import show_list

        async with open_admin(settings) as admin:
            show_list(await admin.list(), as_json=as_json)

        return WELL

    run(show)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show one channel: every setting, what it is for, and what it is."""

    async def work(settings: Settings) -> int:
        from agent.cli.control.channels_view import show_one

        async with open_admin(settings) as admin:
            show_one(await admin.get(name), as_json=as_json)

        return WELL

    run(work)


@app.command("set")
def set_(
    name: Name,
    settings: Assignments = None,
    unset: Unset = None,
    force: Force = False,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Change settings of a channel; running agents apply them within a second.

    For example: agent channels set discord overlap=queue user_limit=20/minute
    deny=80351110224678912
    """
    from agent.cli.control.channels_view import show_change
    from storage.control.channel_settings import check_names, set_question

    changes = _changes(settings or [], unset or [])
    check_names(changes)

    async def propose(
        admin: ChannelAdmin, by: Author
    ) -> Proposal[tuple[ChannelView, ChannelView]]:
        async def newest() -> int:
            return (await admin.get(name)).version

        if not force:
            await admin.find_models(changes)

        return Proposal(
            lambda version: admin.set(name, changes, by, expected=version),
            set_question(name, changes),
            await newest(),
            newest,
        )

    options = ChangeOptions(as_, reason, as_json, yes, expect)
    run_change(open_admin, propose, show_change, options)


@app.command()
def credential(
    name: Name,
    credential: Credential,
    remove: Remove = False,
    forget: Forget = False,
    as_: As = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Store a credential, encrypted with ENCRYPTION_KEYS. It is asked for, or read from
    standard input.

    A setting of the environment wins over it. `agent serve` takes it when it starts.
    """

    async def propose(vault: Vault, by: Author) -> Proposal[None]:
        from storage.control.channels import check_credential_name

        check_credential_name(name, credential)
        admin, secrets = vault
        value = None if remove else _secret(f"{name} {credential}", as_json=as_json)

        return Proposal(
            lambda _: admin.set_credential(
                name, credential, value, by, secrets, forget=forget
            )
        )

    def show(_: None, /, *, as_json: bool) -> None:
        if as_json:
            show_json(
                {"channel": name, "credential": credential, "stored": not remove}
            )
        else:
            state = "removed" if remove else "stored, encrypted"
            tell(f"{name} {credential}: {state}.")

    run_change(_open_vault, propose, show, ChangeOptions(as_, reason, as_json))


def _secret(prompt: str, *, as_json: bool) -> str:
    """Never an argument: those stand in the shell's history and in the list of processes."""
    with asking():
        if may_ask(as_json=as_json):
            return str(typer.prompt(prompt, hide_input=True, err=True)).strip()

        return sys.stdin.readline().strip()


def _changes(assignments: list[str], unset: list[str]) -> dict[str, str | None]:
    """The new value of each setting; None: its default. Raises Rejected."""
    changes: dict[str, str | None] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise Rejected(
                f"{name!r} is no setting: write name=value, as in overlap=queue."
            )
        _add(changes, name.strip(), value)
    for name in unset:
        _add(changes, name, None)
    if not changes:
        raise Rejected("There is nothing to change: say name=value, or --unset name.")

    return changes


def _add(changes: dict[str, str | None], name: str, value: str | None) -> None:
    if name in changes:
        raise Rejected(f"{name} is named twice. Say once what it is to be.")

    changes[name] = value


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[ChannelAdmin]:
    """The operators' side of channels, on the stores of these settings."""
    from storage.control.channels import ChannelAdmin

    async with operating(settings) as (stores, models):
        yield ChannelAdmin(stores.database, stores.pipe, models.check, models)


@asynccontextmanager
async def _open_vault(settings: Settings) -> AsyncIterator[Vault]:
    """With the keys that seal credentials. Raises ConfigurationError for a wrong key."""
    from storage.control.credentials import Secrets

    secrets = Secrets([key.get_secret_value() for key in settings.encryption_keys])
    async with open_admin(settings) as admin:
        yield admin, secrets
