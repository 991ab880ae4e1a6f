"""`agent flags …`: what the agent does for everyone, a channel, a chat or a person, while
it runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
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
    complete_flag,
    confirm,
    insist,
    operating,
)
from agent.cli.run import WELL, run
from agent.control.flags import Kind, new_flag
from agent.control.rules import DEFINITION, GLOBAL, KILL, PERCENTAGE, Rules
from agent.core.errors import Rejected

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.flags import Changed, FlagAdmin

app = typer.Typer(
    help="Feature flags: seen at once on every instance, kept, and undone when wrong.",
    no_args_is_help=True,
)


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
        "--channel", help="Everybody on this channel.", autocompletion=complete_channel
    ),
]
Chat = Annotated[
    str | None,
    typer.Option(
        "--chat", help="One chat or group of that channel, by the platform's id."
    ),
]
Kill = Annotated[
    bool,
    typer.Option("--kill", help="Everybody, whatever the other rules say; they stay."),
]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show all flags, what is set, and on how many running instances that is applied."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.flags_view import show_list

        async with _desk(settings) as desk:
            show_list(await desk.all(), as_json=as_json)
        return WELL

    run(show)


@app.command()
def get(name: Name, as_json: Json = False) -> None:
    """Show one flag: what it is for, what it takes, its rules."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.flags_view import show_one

        async with _desk(settings) as desk:
            show_one(await desk.get(name), as_json=as_json)
        return WELL

    run(show)


@app.command("set")
def set_(
    name: Name,
    value: Annotated[
        str | None, typer.Argument(help="With --kill it may be left out: the default.")
    ] = None,
    person: Person = None,
    channel: Channel = None,
    chat: Chat = None,
    percentage: Annotated[
        float | None, typer.Option("--percentage", help="So many of 100 people.")
    ] = None,
    salt: Annotated[
        str | None,
        typer.Option("--salt", help="Splits people anew; default: the flag's name."),
    ] = None,
    kill: Kill = False,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Set a flag: for everybody, or for whom an option names. The narrowest rule decides."""

    async def work(settings: Settings) -> int:
        from storage.control.targets import RuleTarget, check_rule

        target = RuleTarget(person, channel, chat, percentage, salt, kill)
        check_rule(target)
        by = author(settings, as_, reason)
        async with _desk(settings) as desk:
            view = await desk.get(name)
            seen = await _seen(desk, name, expect)
            if value is None and not kill:
                raise Rejected(f"{name} needs a value: it takes {view.flag.allowed}.")
            parsed = None if value is None else view.flag.parsed(value)
            if person is None and channel is None:
                what = "its default" if value is None else repr(value)
                share = (
                    "everybody"
                    if percentage is None
                    else f"{percentage:g} % of all people"
                )
                wins = ", whatever its other rules say" if kill else ""
                confirm(
                    f"Set {name} to {what} for {share}{wins}?", yes=yes, as_json=as_json
                )
            await _make(
                desk,
                name,
                lambda version: desk.set(name, target, parsed, by, expected=version),
                seen,
                as_json=as_json,
            )
        return WELL

    run(work)


@app.command()
def unset(
    name: Name,
    person: Person = None,
    channel: Channel = None,
    chat: Chat = None,
    percentage: Annotated[
        bool, typer.Option("--percentage", help="The rule for a share of all people.")
    ] = False,
    kill: Kill = False,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Remove one rule of a flag; the next one decides."""

    async def work(settings: Settings) -> int:
        from storage.control.targets import RuleTarget, check_rule

        target = RuleTarget(
            person, channel, chat, 0.0 if percentage else None, None, kill
        )
        check_rule(target)
        by = author(settings, as_, reason)
        async with _desk(settings) as desk:
            await desk.get(name)
            seen = await _seen(desk, name, expect)
            if person is None and channel is None:
                confirm(
                    f"Remove a rule of {name} that is for everybody?",
                    yes=yes,
                    as_json=as_json,
                )
            await _make(
                desk,
                name,
                lambda version: desk.unset(name, target, by, expected=version),
                seen,
                as_json=as_json,
            )
        return WELL

    run(work)


@app.command()
def undo(
    name: Name,
    change: Annotated[
        int | None,
        typer.Option("--change", help="The number of a change; default: the last."),
    ] = None,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Take a change back. Undoing an undo does it again."""

    async def work(settings: Settings) -> int:
        from storage.control.changes import difference

        by = author(settings, as_, reason)
        async with _desk(settings) as desk:
            seen = await _seen(desk, name, expect)
            past = await desk.history(name, limit=None)
            undone = next((entry for entry in past if change in (None, entry.id)), None)
            if undone is not None and _for_everybody(undone.before, undone.after):
                question = f"Change back for everybody: {difference(undone.after, undone.before)}?"
                confirm(question, yes=yes, as_json=as_json)
            number = undone.id if undone else change
            await _make(
                desk,
                name,
                lambda version: desk.undo(name, by, entry=number, expected=version),
                seen,
                as_json=as_json,
            )
        return WELL

    run(work)


@app.command()
def history(
    name: Name,
    most: Annotated[int, typer.Option("--most", min=1, help="Changes to show.")] = 50,
    as_json: Json = False,
) -> None:
    """Show who changed a flag, when, how and why; newest first."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.flags_view import show_entries

        async with _desk(settings) as desk:
            show_entries(await desk.history(name, most), as_json=as_json)
        return WELL

    run(show)


@app.command()
def explain(
    name: Name,
    person: Person = None,
    channel: Channel = None,
    chat: Chat = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="A past moment, such as 2026-03-01T14:00."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which rule decides, and why each other one does not; now, or at a past moment."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.flags_view import show_explanation
        from storage.control.flags import moment
        from storage.control.targets import RuleTarget

        async with _desk(settings) as desk:
            when = None if at is None else moment(at)
            show_explanation(
                await desk.explain(name, RuleTarget(person, channel, chat), when),
                as_json=as_json,
            )
        return WELL

    run(show)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="a-z, 0-9 and _.")],
    kind: Annotated[Kind, typer.Option("--type", help="What its values are.")],
    default: Annotated[
        str, typer.Option("--default", help="Its value where nobody sets it.")
    ],
    meaning: Annotated[
        str, typer.Option("--meaning", help="What it is for, in one line.")
    ],
    as_: As = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Make a flag that no code declares, for an experiment."""

    async def work(settings: Settings) -> int:
        from agent.cli.control.flags_view import show_changed

        flag, by = new_flag(name, kind, meaning), author(settings, as_, reason)
        async with _desk(settings) as desk:
            show_changed(
                await desk.create(flag, flag.parsed(default), by), as_json=as_json
            )
        return WELL

    run(work)


@app.command()
def remove(
    name: Name,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Remove a flag that was made by `create`, with its rules."""

    async def work(settings: Settings) -> int:
        by = author(settings, as_, reason)
        async with _desk(settings) as desk:
            await desk.get(name)
            seen = await _seen(desk, name, expect)
            confirm(f"Remove {name} with all its rules?", yes=yes, as_json=as_json)
            await _make(
                desk,
                name,
                lambda version: desk.remove(name, by, expected=version),
                seen,
                as_json=as_json,
            )
        return WELL

    run(work)


async def _seen(desk: FlagAdmin, name: str, expect: int | None) -> int:
    """The version that the operator decides on: the newest one, or the one they named."""
    if expect is not None:
        return expect
    newest = await desk.history(name, limit=1)
    return newest[0].id if newest else 0


async def _make(
    desk: FlagAdmin,
    name: str,
    change: Callable[[int], Awaitable[Changed]],
    version: int,
    *,
    as_json: bool,
) -> None:
    """Makes a change to the flag at the version that was seen. When somebody was faster,
    tells of it and asks again.
    """
    from agent.cli.control.flags_view import show_changed

    changed = await insist(
        change, version, lambda: _seen(desk, name, None), as_json=as_json
    )
    show_changed(changed, as_json=as_json)


def _for_everybody(*changes: Rules) -> bool:
    return any(
        scope in (GLOBAL, KILL, PERCENTAGE, DEFINITION)
        for change in changes
        for scope in change
    )


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[FlagAdmin]:
    from storage.control.flags import FlagAdmin

    async with operating(settings) as (stores, models):
        yield FlagAdmin(stores.database, stores.pipe, models)
