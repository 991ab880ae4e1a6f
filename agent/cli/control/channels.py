"""`agent channels …`: what the agent is on each channel, while it runs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import (
    As,
    Expect,
    Json,
    Reason,
    Yes,
    author,
    complete_channel,
    confirm,
    insist,
    may_ask,
    operating,
    show_json,
    show_table,
    tell,
)
from agent.cli.run import WELL, asking, run
from agent.core.errors import Rejected

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.channels import ChannelAdmin, ChannelView

app = typer.Typer(
    help="Settings of each channel: model, system prompt, overlap, limits, "
    "greeting, who may talk, credentials.",
    no_args_is_help=True,
)


Channel = Annotated[
    str,
    typer.Argument(
        help="discord, slack, telegram or terminal.", autocompletion=complete_channel
    ),
]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show all channels and what is set for them."""

    async def show(settings: Settings) -> int:
        async with _desk(settings) as desk:
            views = await desk.list()
        if as_json:
            show_json([_facts(view) for view in views])
        else:
            rows = [
                (view.name, "stored" if view.has_credentials else "", _line(view))
                for view in views
            ]
            show_table(("CHANNEL", "CREDENTIALS", "SET"), rows)
        return WELL

    run(show)


@app.command()
def show(name: Channel, as_json: Json = False) -> None:
    """Show one channel: every setting, what it is for, and what it is."""

    async def work(settings: Settings) -> int:
        async with _desk(settings) as desk:
            view = await desk.get(name)
        if as_json:
            show_json(_facts(view))
        else:
            fields = type(view.form).model_fields.items()
            values = view.form.model_dump(mode="json")
            show_table(
                ("SETTING", "VALUE", "MEANING"),
                [(key, _text(values[key]), f.description) for key, f in fields],
            )
            typer.echo(
                "credentials "
                f"{'stored' if view.has_credentials else 'not stored'}; version "
                f"{view.version}"
            )
        return WELL

    run(work)


@app.command("set")
def set_(
    name: Channel,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            help="name=value; a list is written with commas.", metavar="NAME=VALUE …"
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", help="Take a setting back to its default."),
    ] = None,
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

    async def work(configuration: Settings) -> int:
        changes = _changes(settings or [], unset or [])
        if not changes:
            raise Rejected(
                "There is nothing to change: say name=value, or --unset name."
            )
        by = author(configuration, as_, reason)
        async with _desk(configuration) as desk:
            view = await desk.get(name)
            confirm(
                f"Change {', '.join(changes)} for everybody on {name}?",
                yes=yes,
                as_json=as_json,
            )

            async def newest() -> int:
                return (await desk.get(name)).version

            before, after = await insist(
                lambda version: desk.set(name, changes, by, expected=version),
                view.version if expect is None else expect,
                newest,
                as_json=as_json,
            )
        _show_change(before, after, as_json=as_json)
        return WELL

    run(work)


@app.command()
def credential(
    name: Channel,
    credential: Annotated[
        str,
        typer.Argument(
            help="token; for discord also public_key; for slack bot_token, "
            "app_token or signing_secret."
        ),
    ],
    remove: Annotated[bool, typer.Option("--remove", help="Forget it.")] = False,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget",
            help="Give up what the channel has if no key of ENCRYPTION_KEYS opens it.",
        ),
    ] = False,
    as_: As = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Store a credential, encrypted with ENCRYPTION_KEYS. It is asked for, or read from
    standard input.

    A setting of the environment wins over it. `agent serve` takes it when it starts.
    """

    async def work(settings: Settings) -> int:
        from storage.control.credentials import Secrets

        secrets = Secrets([key.get_secret_value() for key in settings.encryption_keys])
        by = author(settings, as_, reason)
        value = None if remove else _secret(f"{name} {credential}", as_json=as_json)
        async with _desk(settings) as desk:
            await desk.set_credential(
                name, credential, value, by, secrets, forget=forget
            )
        if as_json:
            show_json({"channel": name, "credential": credential, "stored": not remove})
        else:
            typer.echo(
                f"{name} {credential}: {'removed' if remove else 'stored, encrypted'}."
            )
        return WELL

    run(work)


def _secret(what: str, *, as_json: bool) -> str:
    """Never an argument: those stand in the shell's history and in the list of processes."""
    with asking():
        if may_ask(as_json=as_json):
            return str(typer.prompt(what, hide_input=True, err=True)).strip()
        return sys.stdin.readline().strip()


def _changes(texts: list[str], unset: list[str]) -> dict[str, str | None]:
    """What each setting is to be; None: its default. Raises Rejected."""
    pairs = [text.partition("=") for text in texts]
    if wrong := next((name for name, equals, _ in pairs if not equals), None):
        raise Rejected(
            f"{wrong!r} is no setting: write name=value, as in overlap=queue."
        )
    names = [*(name.strip() for name, _, _ in pairs), *unset]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Rejected(f"{twice} is named twice. Say once what it is to be.")
    return dict(
        zip(
            names,
            [*(value for _, _, value in pairs), *(None for _ in unset)],
            strict=True,
        )
    )


def _show_change(before: ChannelView, after: ChannelView, *, as_json: bool) -> None:
    old, new = before.form.model_dump(mode="json"), after.form.model_dump(mode="json")
    if as_json:
        show_json(
            {"before": _facts(before), "after": _facts(after), "changed": old != new}
        )
    elif old == new:
        typer.echo(f"{after.name} is so already.")
    for key in new if not as_json else ():
        if old[key] != new[key]:
            tell(f"{after.name} {key}: {_text(old[key])} → {_text(new[key])}")


def _line(view: ChannelView) -> str:
    from storage.control.channels import described

    return (
        "; ".join(
            f"{key} {_text(value)}" for key, value in described(view.form).items()
        )
        or "nothing"
    )


def _text(value: object) -> str:
    text = (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else ""
        if value is None
        else str(value)
    )
    return f"{text[:59]}…" if len(text) > 60 else text or "-"


def _facts(view: ChannelView) -> dict[str, object]:
    settings = view.form.model_dump(mode="json")
    return {
        "channel": view.name,
        "settings": settings,
        "credentials": view.has_credentials,
        "version": view.version,
    }


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[ChannelAdmin]:
    from storage.control.channels import ChannelAdmin

    async with operating(settings) as (stores, models):
        yield ChannelAdmin(stores.database, stores.pipe, models.check)
