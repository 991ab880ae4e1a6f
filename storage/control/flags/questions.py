"""What is asked before a change of a flag, and how its target is read: the same for the
command line and the console.
"""

from __future__ import annotations

from datetime import datetime

from agent.control.named_rules import PREFIX
from agent.control.rules import DEFINITION, GLOBAL, KILL, PERCENTAGE, Rules
from agent.core.errors import Rejected
from agent.core.remedies import Amend
from storage.control.audit import Entry
from storage.control.changes import difference
from storage.control.flags.named_targets import NamedTarget, check_target, end_after
from storage.control.targets import RuleTarget, check_rule, moment


def checked(target: NamedTarget) -> RuleTarget | NamedTarget:
    """The plain rule where one condition is enough. Raises Rejected."""
    if (plain := target.plain) is not None:
        check_rule(plain)
        return plain

    check_target(target)
    return target


def times(
    starts: str | None, ends: str | None, lasting: str | None
) -> tuple[datetime | None, datetime | None]:
    """Start and end as typed. Raises Rejected."""
    if ends is not None and lasting is not None:
        raise Rejected("A rule has one end.", Amend("choose", ("ends", "for")))

    begin = None if starts is None else moment(starts)
    if lasting is not None:
        return begin, end_after(lasting, begin)

    return begin, None if ends is None else moment(ends)


def set_question(
    name: str, value: str | None, target: RuleTarget | NamedTarget
) -> str | None:
    """None: it is for some people or places alone. `value` None: the default."""
    if not is_for_everybody(target):
        return None

    chosen = "its default" if value is None else repr(value)
    share = target.percentage
    people = "everybody" if share is None else f"{share:g} % of all people"
    wins = ", whatever its other rules say" if target.kill else ""

    return f"Set {name} to {chosen} for {people}{wins}?"


def unset_question(
    name: str,
    target: RuleTarget,
) -> str | None:
    if not is_for_everybody(target):
        return None

    return f"Remove a rule of {name} that is for everybody?"


def undo_question(undone: Entry) -> str | None:
    if not _concerns_everybody(undone.before, undone.after):
        return None

    name = undone.subject.partition(":")[2]
    change = difference(undone.after, undone.before)

    return f"Change {name} back for everybody: {change}?"


def is_for_everybody(target: RuleTarget | NamedTarget) -> bool:
    """Whether it is for no person, chat or channel alone."""
    if isinstance(target, RuleTarget):
        return target.person is None and target.channel is None

    return not target.people and not target.channels


def _concerns_everybody(*changes: Rules) -> bool:
    return any(
        scope in (GLOBAL, KILL, PERCENTAGE, DEFINITION) or scope.startswith(PREFIX)
        for change in changes
        for scope in change
    )
