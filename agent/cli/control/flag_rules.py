"""`agent flags set`, `unset` and `undo`: the rules of a flag."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from agent.control.named_rules import PREFIX
from agent.control.rules import DEFINITION, GLOBAL, KILL, PERCENTAGE, Rules
from agent.core.errors import Rejected

if TYPE_CHECKING:
    from storage.control.audit import Author, Entry
    from storage.control.flags import Changed, FlagAdmin
    from storage.control.flags.named_targets import NamedTarget
    from storage.control.targets import RuleTarget

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

    places = (tuple(person or ()), tuple(channel or ()), chat, percentage, salt, kill)
    target = _checked(NamedTarget(rule, *places, *_times(starts, ends, lasting)))

    async def propose(admin: FlagAdmin, by: Author) -> Proposal[Changed]:
        parsed = await _found(admin, name, value, kill=kill, force=force)

        return await proposal(
            admin,
            name,
            lambda version: admin.set(name, target, parsed, by, expected=version),
            _set_question(name, value, target),
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
            f"Remove a rule of {name} that is for everybody?"
            if _is_for_everybody(target)
            else None,
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

    async def propose(admin: FlagAdmin, by: Author) -> Proposal[Changed]:
        past = await admin.history(name, None)
        undone = next((entry for entry in past if change in (None, entry.id)), None)
        number = undone.id if undone else change
        made = await proposal(
            admin,
            name,
            lambda version: admin.undo(name, by, entry=number, expected=version),
            _undo_question(undone) if undone else None,
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


def _times(
    starts: str | None, ends: str | None, lasting: str | None
) -> tuple[datetime | None, datetime | None]:
    """Start and end as typed. Raises Rejected."""
    from storage.control.flags.named_targets import end_after
    from storage.control.targets import moment

    if ends is not None and lasting is not None:
        raise Rejected("A rule has one end. Give --ends or --for, not both.")

    begin = None if starts is None else moment(starts)
    if lasting is not None:
        return begin, end_after(lasting, begin)

    return begin, None if ends is None else moment(ends)


def _checked(target: NamedTarget) -> RuleTarget | NamedTarget:
    """The plain rule where one condition is enough. Raises Rejected."""
    from storage.control.flags.named_targets import check_target
    from storage.control.targets import check_rule

    if (plain := target.plain) is not None:
        check_rule(plain)
        return plain

    check_target(target)
    return target


def _set_question(
    name: str, value: str | None, target: RuleTarget | NamedTarget
) -> str | None:
    if not _is_for_everybody(target):
        return None

    chosen = "its default" if value is None else repr(value)
    share = target.percentage
    people = "everybody" if share is None else f"{share:g} % of all people"
    wins = ", whatever its other rules say" if target.kill else ""

    return f"Set {name} to {chosen} for {people}{wins}?"


def _is_for_everybody(target: RuleTarget | NamedTarget) -> bool:
    """Whether it is for no person, chat or channel alone."""
    from storage.control.targets import RuleTarget

    if isinstance(target, RuleTarget):
        return target.person is None and target.channel is None

    return not target.people and not target.channels


def _undo_question(undone: Entry) -> str | None:
    from storage.control.changes import difference

    if not _concerns_everybody(undone.before, undone.after):
        return None

    return f"Change back for everybody: {difference(undone.after, undone.before)}?"


def _concerns_everybody(*changes: Rules) -> bool:
    return any(
        scope in (GLOBAL, KILL, PERCENTAGE, DEFINITION) or scope.startswith(PREFIX)
        for change in changes
        for scope in change
    )
