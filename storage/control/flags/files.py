"""All flags as one document, and a document as a change of many flags: whole, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from agent.control.flag_document import document_of
from agent.control.flags import DECLARED, Flag, definition_of, made_by_operator
from agent.control.named_rules import (
    MAX_NAMED_RULES,
    PREFIX,
    check_named,
    read_named,
)
from agent.control.named_rules import definition_of as definition_of_rule
from agent.control.rules import (
    ABOUT,
    DEFINITION,
    GLOBAL,
    KILL,
    PERCENTAGE,
    Rules,
    percentage_rule,
)
from agent.core.errors import Conflict, Rejected
from agent.core.text import shown_name
from storage.connecting.connection import Connection
from storage.control.audit import Author
from storage.control.changes import changing
from storage.control.flag_rules import (
    ValueCheck,
    changed_rules,
    read_flag,
    rules_of_all,
    subject_of,
    unknown_flag,
    write_rules,
)
from storage.control.targets import RuleTarget, audience_of
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction

Wanted = Mapping[str, Rules]
"""By flag and scope, as `read_document` gives them."""


class Planned(Struct, frozen=True):
    """What an import changes of one flag: the rules that go, and those that come."""

    name: str
    before: Rules
    after: Rules


class FlagFiles:
    """The operator's side of files of flags."""

    def __init__(
        self, database: Database, pipe: RedisPipe, check: ValueCheck
    ) -> None:
        self._database = database
        self._pipe = pipe
        self._check = check

    async def export(self) -> dict[str, Any]:
        """All that is set, as a document."""
        async with transaction(self._database) as connection:
            return document_of(await rules_of_all(connection))

    async def plan(self, wanted: Wanted) -> list[Planned]:
        """What `apply` would change. Raises Rejected for the first thing that cannot be."""
        async with transaction(self._database) as connection:
            return [plan for plan, _, _ in await self._plan(connection, wanted)]

    async def apply(
        self, wanted: Wanted, seen: Sequence[Planned], author: Author
    ) -> list[Planned]:
        """Makes the flags so, in one transaction. Raises Conflict when that is no longer
        what was seen.
        """
        async with changing(self._database, self._pipe, author) as change:
            planned = await self._plan(change.connection, wanted)
            if [plan for plan, _, _ in planned] != list(seen):
                raise Conflict(
                    "Flags were changed meanwhile. Look at them and say again."
                )

            for plan, old, new in planned:
                await write_rules(change.connection, plan.name, old, new)
            for plan, _, _ in planned:
                await change.record(
                    "flag.import",
                    subject_of(plan.name),
                    before=plan.before,
                    after=plan.after,
                )

        return list(seen)

    async def _plan(
        self, connection: Connection, wanted: Wanted
    ) -> list[tuple[Planned, Rules, Rules]]:
        """Each flag that differs, with its rules as they are and as they will be."""
        known = await rules_of_all(connection)
        found: list[tuple[Planned, Rules, Rules]] = []

        for name, rules in sorted(wanted.items()):
            old = known.get(name, {})
            new = await self._checked(connection, name, old, rules, [*known])
            plan = Planned(name, changed_rules(new, old), changed_rules(old, new))
            if plan.before or plan.after:
                found.append((plan, old, new))

        return found

    async def _checked(
        self,
        connection: Connection,
        name: str,
        old: Rules,
        rules: Rules,
        known: Sequence[str],
    ) -> Rules:
        """The rules as they are stored; only those that change are judged."""
        if name in DECLARED and DEFINITION in rules:
            raise Rejected(f"{name} is declared in the code and has no definition.")

        defined = {DEFINITION: old[DEFINITION]} if DEFINITION in old else {}
        rules = {**defined, **rules}
        flag = read_flag(name, rules)
        if flag is None:
            raise unknown_flag(name, sorted(known))
        if sum(scope.startswith(PREFIX) for scope in rules) > MAX_NAMED_RULES:
            raise Rejected(
                f"{name} has more than {MAX_NAMED_RULES} rules with a name."
            )

        redefined = rules.get(DEFINITION) != old.get(DEFINITION)
        return {
            scope: value
            if not redefined and scope not in changed_rules(old, {scope: value})
            else await self._rule(connection, flag, scope, value)
            for scope, value in rules.items()
        }

    async def _rule(
        self, connection: Connection, flag: Flag[Any], scope: str, value: Any
    ) -> Any:
        """One rule as it is stored. Raises Rejected."""
        if scope == DEFINITION:
            return definition_of(made_by_operator(flag.name, value))
        if scope == ABOUT or (scope == KILL and value is None):
            return value
        if scope in (KILL, GLOBAL):
            return self._check(flag, value)
        if scope == PERCENTAGE:
            return self._share(flag, value)
        if scope.startswith(PREFIX):
            return await self._named(connection, flag, scope, value)

        await audience_of(connection, _target(flag, scope))
        return self._check(flag, value)

    def _share(self, flag: Flag[Any], value: Any) -> Any:
        match value:
            case {
                "share": int() | float() as share,
                "salt": str() as salt,
                "value": of,
            }:
                if len(value) == 3 and not isinstance(share, bool):
                    return percentage_rule(share, salt, self._check(flag, of))

        raise Rejected(f"The percentage of {flag.name} has share, salt and value.")

    async def _named(
        self, connection: Connection, flag: Flag[Any], scope: str, value: Any
    ) -> Any:
        rule = read_named(scope.removeprefix(PREFIX), value)
        if rule.conditions is None:
            raise Rejected(
                f"The rule {shown_name(scope)} of {flag.name} has conditions that this "
                "version does not know."
            )

        check_named(rule, datetime.now(UTC))
        for channel in sorted(rule.conditions.channels):
            await audience_of(connection, RuleTarget(channel=channel))
        for person in sorted(rule.conditions.people):
            await audience_of(connection, RuleTarget(person=str(person)))

        stored = definition_of_rule(rule)
        if rule.value is not None or not rule.conditions.kill:
            stored["value"] = self._check(flag, rule.value)

        return stored


def _target(flag: Flag[Any], scope: str) -> RuleTarget:
    """The person or place that a scope names. Raises Rejected for another scope."""
    kind, _, place = scope.partition(":")
    channel, _, chat = place.partition(":")
    match kind:
        case "person" if _is_id(place):
            return RuleTarget(person=place)
        case "channel" if place:
            return RuleTarget(channel=place)
        case "chat" if chat:
            return RuleTarget(channel=channel, chat=chat)

    raise Rejected(
        f"{flag.name} has a rule for {shown_name(scope)}, which is no scope: there are "
        "kill, person:ID, chat:CHANNEL:ID, channel:CHANNEL, percentage, rule:NAME and global."
    )


def _is_id(text: str) -> bool:
    """Whether this is a person's id as scopes have it."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
