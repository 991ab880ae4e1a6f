"""`agent …`: the command line. Commands import what they need when they run, so that
`--help` is quick.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agent.cli.options import As, Group, author
from agent.cli.run import (
    EXIT_STATUS,
    INTERRUPTED,
    NOT_WELL,
    USAGE_ERROR,
    WELL,
    Interrupted,
    report,
    report_usage,
    run,
)

if TYPE_CHECKING:
    from agent.settings import Settings

Migrate = Annotated[
    bool,
    typer.Option(
        "--migrate",
        help="Bring a server's schema up to date first; safe on several at once.",
    ),
]
NoPrompt = Annotated[
    bool,
    typer.Option(
        "--no-input", help="Never prompt: only read lines from standard input."
    ),
]
Platform = Annotated[
    Literal["discord", "telegram", "slack"], typer.Argument(help="What to connect.")
]
NoQuestions = Annotated[
    bool, typer.Option("--no-input", help="Never ask: flags and settings answer.")
]
Replace = Annotated[
    bool, typer.Option("--yes", help="Replace what .env has already.")
]
Wait = Annotated[
    int, typer.Option(min=1, help="Seconds to wait for your first message.")
]
Port = Annotated[
    int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ShowsAll = Annotated[
    bool, typer.Option("--all", help="Show what was acknowledged, too.")
]
Acknowledge = Annotated[
    str | None,
    typer.Option(
        metavar="PART",
        help="Show what is found of this part today no more; numbers in it may change.",
    ),
]
Withdraw = Annotated[
    str | None,
    typer.Option(
        metavar="PART", help="Show what was acknowledged of this part again."
    ),
]
Token = Annotated[
    str | None, typer.Option("--token", help="The bot's token: discord, telegram.")
]
BotToken = Annotated[
    str | None, typer.Option("--bot-token", help="Bot User OAuth Token: slack.")
]
AppToken = Annotated[
    str | None, typer.Option("--app-token", help="App-Level Token: slack.")
]
SigningSecret = Annotated[
    str | None,
    typer.Option("--signing-secret", help="Signing Secret, with PUBLIC_URL: slack."),
]

_STATUSES = "; ".join(
    f"{status} {meaning}" for status, meaning in EXIT_STATUS.items()
)

GROUPS = {
    "db": "agent.cli.db",
    "backup": "agent.cli.stores.backup",
    "flags": "agent.cli.control.flags",
    "experiments": "agent.cli.control.experiments",
    "audit": "agent.cli.control.audit",
    "channels": "agent.cli.control.channels",
    "limits": "agent.cli.limits.limits",
    "budgets": "agent.cli.limits.budgets",
    "operators": "agent.cli.control.operators",
    "report": "agent.cli.reports.commands",
    "people": "agent.cli.stores.people",
    "export": "agent.cli.stores.export",
}
"""Groups of commands, and the module that holds each as `app`."""

app = typer.Typer(
    cls=Group,
    name="agent",
    help="A chat agent that loses nothing: in the terminal, on Discord, Telegram and Slack.",
    epilog=f"Exit status: {_STATUSES}.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def chat(
    migrate: Migrate = False,
    no_input: NoPrompt = False,
) -> None:
    """Talk in this terminal. Piped lines are answered one after the other; only answers are
    printed.
    """

    async def work(settings: Settings) -> int:
        async with _meanwhile(settings):
            gc.disable()  # imports leave no garbage
            module = await asyncio.to_thread(import_module, "agent.cli.chat")
            gc.enable()
            status: int = await module.chat(
                settings, upgrade=migrate, no_input=no_input
            )

        return status

    run(work)


def _meanwhile(settings: Settings) -> AbstractAsyncContextManager[None]:
    """While this process imports a second's worth of modules, its own Postgres starts."""
    if settings.database_url:
        return nullcontext()

    from storage.embedded.servers import starting

    return starting(settings.agent_home)


@app.command()
def serve(migrate: Migrate = False) -> None:
    """Run every channel that has a token, until stopped."""
    from agent.cli.serve import serve

    run(lambda settings: serve(settings, upgrade=migrate))


@app.command()
def console(as_: As = None, port: Port = 0) -> None:
    """Open the operators' console in a browser, on this machine alone, until stopped."""

    async def work(settings: Settings) -> int:
        from agent.web.console.laptop import run_console

        by = author(settings, as_, None)
        await run_console(settings, by, typer.echo, port=port)

        return WELL

    run(work)


@app.command(context_settings={"allow_extra_args": True})
def setup(
    context: typer.Context,
    channel: Platform,
    token: Token = None,
    bot_token: BotToken = None,
    app_token: AppToken = None,
    signing_secret: SigningSecret = None,
    no_input: NoQuestions = False,
    yes: Replace = False,
    wait: Wait = 600,
    migrate: Migrate = False,
) -> None:
    """Connect a platform, step by step, until your first message was answered.

    The options for tokens answer its questions.
    """
    from agent.cli.setup.commands import setup

    given = {
        "--token": token,
        "--bot-token": bot_token,
        "--app-token": app_token,
        "--signing-secret": signing_secret,
    }
    flags = [f"{name}={value}" for name, value in given.items() if value is not None]
    # a word too many may be a token: typer would repeat it
    flags += context.args
    setup(channel, flags, no_input=no_input, yes=yes, wait=wait, upgrade=migrate)


@app.command()
def status(as_json: Json = False) -> None:
    """Show the health of every part. Exit status 1 when something is not well."""
    from agent.cli.status import status

    run(lambda settings: status(settings, as_json=as_json))


@app.command()
def doctor(
    as_json: Json = False,
    shows_all: ShowsAll = False,
    acknowledge: Acknowledge = None,
    withdraw: Withdraw = None,
    as_: As = None,
) -> None:
    """Try every configured part for real and say what to fix.

    When all is well it says nothing. Exit status 1 when there is something to fix.
    """
    from agent.cli import status

    if findings := status.settings_findings():
        raise SystemExit(status.show_findings(findings, as_json=as_json))

    async def work(settings: Settings) -> int:
        if acknowledge is not None:
            by = author(settings, as_, None).name
            return await status.acknowledge(settings, acknowledge, by)
        if withdraw is not None:
            return await status.withdraw(settings, withdraw)

        return await status.doctor(settings, as_json=as_json, shows_all=shows_all)

    run(work, warns=False)


@app.command()
def version() -> None:
    """Show the version."""
    from importlib.metadata import version

    print(version("simple-ai-agent"))


def _version_only(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version_only,
            is_eager=True,
            help="Show the version.",
        ),
    ] = False,
) -> None:
    """What stands before a command."""


def command_line(named: str = "") -> typer.Typer:
    """`agent` with the command or group that is named, or with all of them, for help and
    completion and to say what is near a mistake. To build them all takes a quarter of a short
    command.
    """
    own = {getattr(one.callback, "__name__", "") for one in app.registered_commands}
    if named in own:
        return app

    if named not in GROUPS:
        from agent.cli.reports.search import search

        app.command()(search)
        if named == "search":
            return app

    for name in [named] if named in GROUPS else GROUPS:
        app.add_typer(import_module(GROUPS[name]).app, name=name)

    return app


def main() -> None:
    """Entry point."""
    # pydantic would look through all that is installed for plugins; we have none
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # until `run`: imports leave no garbage, and looking for it takes a tenth of a second
    gc.disable()
    try:
        sys.exit(command_line(*sys.argv[1:2])(standalone_mode=False))
    except typer.Abort as end:
        interrupted = isinstance(end, Interrupted)
        line = "agent: Ended here; nothing more was done.\n"
        sys.stderr.write(f"\n{line}" if interrupted else line)
        sys.exit(INTERRUPTED if interrupted else NOT_WELL)
    except KeyboardInterrupt:
        # before `run`, which hears it: nothing was begun
        sys.exit(INTERRUPTED)
    except USAGE_ERROR as error:
        sys.exit(report_usage(error))
    except Exception as error:
        # the outermost edge: nothing else would say it in a sentence
        sys.exit(report(error))
