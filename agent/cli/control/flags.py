"""`agent flags …`: what the agent does for everyone, a channel, a chat or a person, while
it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.change import ChangeOptions, Proposal, run_change
from agent.cli.control import flag_care, flag_files, flag_rules
from agent.cli.control.flag_options import (
    Channel,
    Chat,
    Name,
    Person,
    open_admin,
    proposal,
)
from agent.cli.options import As, Expect, Group, Json, Reason, Yes
from agent.cli.run import WELL, run
from agent.control.flags import Kind, new_flag

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.control.flags import Changed, FlagAdmin

app = typer.Typer(
    cls=Group,
    help="Feature flags: seen at once on every instance, kept, and undone when wrong.",
    no_args_is_help=True,
)

Count = Annotated[int, typer.Option("--most", min=1, help="Changes to show.")]
At = Annotated[
    str | None, typer.Option("--at", help="A past time, such as 2026-03-01T14:00.")
]
NewName = Annotated[str, typer.Argument(help="a-z, 0-9 and _.")]
Type = Annotated[Kind, typer.Option("--type", help="What its values are.")]
Default = Annotated[
    str, typer.Option("--default", help="Its value where nobody sets it.")
]
Meaning = Annotated[
    str, typer.Option("--meaning", help="What it is for, in one line.")
]


@app.command("list")
def list_(
    owner: flag_care.Owner = None,
    tag: flag_care.Tag = None,
    as_json: Json = False,
) -> None:
    """Show all flags, what is set, and on how many running instances that is applied."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.flags_view import show_list

        async with open_admin(settings) as admin:
            views = await admin.all()
            kept = [view for view in views if flag_care.is_kept(view, owner, tag)]
            show_list(kept, as_json=as_json)

        return WELL

    run(show)


@app.command()
def get(name: Name, as_json: Json = False) -> None:
    """Show one flag: what it is for, what it takes, its rules."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.flags_view import show_one

        async with open_admin(settings) as admin:
            show_one(await admin.get(name), as_json=as_json)

        return WELL

    run(show)


app.command("set")(flag_rules.set_)
app.command()(flag_rules.unset)
app.command()(flag_rules.undo)
app.command()(flag_care.about)
app.command()(flag_care.stale)
app.command("export")(flag_files.export)
app.command("import")(flag_files.import_)


@app.command()
def history(name: Name, maximum: Count = 50, as_json: Json = False) -> None:
    """Show who changed a flag, when, how and why; newest first."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.flags_view import show_entries

        async with open_admin(settings) as admin:
            show_entries(await admin.history(name, maximum), as_json=as_json)

        return WELL

    run(show)


@app.command()
def explain(
    name: Name,
    person: Person = None,
    channel: Channel = None,
    chat: Chat = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Say which rule decides, and why each other one does not; now, or at a past time."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.flags_view import show_explanation
        from storage.control.targets import RuleTarget, moment

        async with open_admin(settings) as admin:
            when = None if at is None else moment(at)
            target = RuleTarget(person, channel, chat)
            found = await admin.explain(name, target, when)
        show_explanation(found, as_json=as_json)

        return WELL

    run(show)


@app.command()
def create(
    name: NewName,
    kind: Type,
    default: Default,
    meaning: Meaning,
    as_: As = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Make a flag that no code declares, for an experiment."""
    from agent.cli.control.flags_view import show_changed

    flag = new_flag(name, kind, meaning)

    async def propose(admin: FlagAdmin, by: Author) -> Proposal[Changed]:
        value = flag.parsed(default)

        return Proposal(lambda _: admin.create(flag, value, by))

    run_change(open_admin, propose, show_changed, ChangeOptions(as_, reason, as_json))


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
    from agent.cli.control.flags_view import show_changed

    async def propose(admin: FlagAdmin, by: Author) -> Proposal[Changed]:
        await admin.get(name)

        return await proposal(
            admin,
            name,
            lambda version: admin.remove(name, by, expected=version),
            f"Remove {name} with all its rules?",
        )

    options = ChangeOptions(as_, reason, as_json, yes, expect)
    run_change(open_admin, propose, show_changed, options)
