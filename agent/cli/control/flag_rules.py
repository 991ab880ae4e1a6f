"""`agent flags set`, `unset` and `undo`: the rules of a flag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from agent.cli.change import ChangeOptions, Proposal, run_change
from agent.cli.control.flag_options import (
    Channel,
    Channels,
    Chat,
    Ends,
    Kill,
    Lasting,
    Name,
    People,
    Person,
    RuleName,
    Starts,
    open_admin,
    proposal,
    version_in,
)
from agent.cli.options import As, Expect, Force, Json, Reason, Yes
from agent.control.flags import Flag
from agent.core.errors import Rejected

if TYPE_CHECKING:
    from storage.control.audit import Author
    from storage.control.flags import Changed, FlagAdmin

Value = Annotated[
    str | None, typer.Argument(help="With --kill it may be omitted: the default.")
]
Percentage = Annotated[
    float | None, typer.Option("--percentage", help="Share of people, in percent.")
]
Salt = Annotated[
    str | None,
    typer.Option(
        "--salt", help="Splits people differently; default: the flag's name."
    ),
]
PercentageRule = Annotated[
    bool, typer.Option("--percentage", help="The rule for a share of all people.")
]
Number = Annotated[
    int | None,
    typer.Option("--change", help="The number of a change; default: the last."),
]


def set_(
    name: Name,
    value: Value = None,
    person: People = None,
    channel: Channels = None,
    chat: Chat = None,
    percentage: Percentage = None,
    salt: Salt = None,
    kill: Kill = False,
    rule: RuleName = None,
    starts: Starts = None,
    ends: Ends = None,
    lasting: Lasting = None,
    force: Force = False,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Set a flag: for everybody, or for whom all options name. The narrowest rule decides."""
    from agent.cli.control.flags_view import show_changed
    from storage.control.flags.named_targets import NamedTarget
    from storage.control.flags.questions import checked, set_question, times

    places = (tuple(person or ()), tuple(channel or ()), chat, percentage, salt, kill)
    target = checked(NamedTarget(rule, *places, *times(starts, ends, lasting)))

    async def propose(admin: FlagAdmin, by: Author) -> Proposal[Changed]:
        parsed = await _found(admin, name, value, kill=kill, force=force)

        return await proposal(
            admin,
            name,
            lambda version: admin.set(name, target, parsed, by, expected=version),
            set_question(name, value, target),
        )

    options = ChangeOptions(as_, reason, as_json, yes, expect)
    run_change(open_admin, propose, show_changed, options)


async def _found(
    admin: FlagAdmin, name: str, value: str | None, *, kill: bool, force: bool
) -> object:
    """The value that is meant. A model is one that its provider has, unless with `force`."""
    flag = (await admin.get(name)).flag
    parsed = _parsed(flag, value, kill=kill)
    if parsed is not None and not force:
        await admin.check.find_model(flag, parsed)

    return parsed


def unset(
    name: Name,
    person: Person = None,
    channel: Channel = None,
    chat: Chat = None,
    percentage: PercentageRule = False,
    kill: Kill = False,
    rule: RuleName = None,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Remove one rule of a flag; the next one decides."""
    from agent.cli.control.flags_view import show_changed
    from storage.control.flags.questions import unset_question
    from storage.control.targets import RuleTarget, check_rule

    share = 0.0 if percentage else None
    target = RuleTarget(person, channel, chat, share, None, kill, rule)
    check_rule(target)

    async def propose(admin: FlagAdmin, by: Author) -> Proposal[Changed]:
        await admin.get(name)

        return await proposal(
            admin,
            name,
            lambda version: admin.unset(name, target, by, expected=version),
            unset_question(name, target),
        )

    options = ChangeOptions(as_, reason, as_json, yes, expect)
    run_change(open_admin, propose, show_changed, options)


def undo(
    name: Name,
    change: Number = None,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Take a change back. Undoing an undo does it again."""
    from agent.cli.control.flags_view import show_changed
    from storage.control.flags.questions import undo_question

    async def propose(admin: FlagAdmin, by: Author) -> Proposal[Changed]:
        past = await admin.history(name, None)
        undone = next((entry for entry in past if change in (None, entry.id)), None)
        number = undone.id if undone else change
        made = await proposal(
            admin,
            name,
            lambda version: admin.undo(name, by, entry=number, expected=version),
            undo_question(undone) if undone else None,
        )

        return replace(made, version=version_in(past))

    options = ChangeOptions(as_, reason, as_json, yes, expect)
    run_change(open_admin, propose, show_changed, options)


def _parsed(flag: Flag[Any], value: str | None, *, kill: bool) -> object:
    """The value; None: the default. Raises Rejected."""
    if value is not None:
        return flag.parsed(value)
    if kill:
        return None

    raise Rejected(f"{flag.name} needs a value: it takes {flag.allowed}.")
