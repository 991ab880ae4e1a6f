"""Everything an operator does with flags; the command line and the console call it.

Each change is one transaction with its audit row and the next epoch. `expected` is the
version of the flag that the operator saw. If somebody else changed the flag since, nothing
is changed and Conflict says what happened.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from msgspec.structs import replace

from agent.control.about import About
from agent.control.flags import DECLARED, Flag, definition_of, made_by_operator
from agent.control.named_rules import MAX_NAMED_RULES, NAMED, PREFIX, named_in
from agent.control.rules import (
    ABOUT,
    DEFINITION,
    EXPERIMENT,
    PERCENTAGE,
    Rules,
    percentage_rule,
    steps,
    utc_now,
)
from agent.core.errors import Rejected
from agent.core.remedies import Amend, Run
from storage.control import STATEMENTS, audit
from storage.control.audit import Author, Entry
from storage.control.changes import Change, changing, expect, version_of
from storage.control.experiments.rows import read_experiments, running_on
from storage.control.flag_rules import (
    ValueCheck,
    flag_of,
    past_change,
    read_flag,
    replace_rules,
    rules_of,
    rules_of_all,
    rules_without,
    subject_of,
    unknown_flag,
    versions_of_flags,
)
from storage.control.flags.named_targets import NamedTarget, keeping_salt, named_rule
from storage.control.flags.uses import Stale, stale_flags
from storage.control.flags.views import Changed, Explanation, FlagView, views_of
from storage.control.targets import RuleTarget, audience_of, scope_of
from storage.postgres import LEASE_SECONDS, Database
from storage.redis import RedisPipe
from storage.transaction import transaction


class FlagAdmin:
    """The operator's side of flags."""

    def __init__(
        self, database: Database, pipe: RedisPipe, check: ValueCheck
    ) -> None:
        self._database = database
        self._pipe = pipe
        self.check = check

    async def all(self) -> list[FlagView]:
        """All flags by name, except those that this version cannot read."""
        async with transaction(self._database) as connection:
            rules = await rules_of_all(connection)
            versions = await versions_of_flags(connection)
            lease = {"lease": LEASE_SECONDS}
            epochs = await connection.scalars(STATEMENTS["applied_epochs"], lease)
            rows = await read_experiments(connection)

        running = {
            row.experiment.flag: row.experiment for row in rows if row.ran(None)
        }

        return list(views_of(rules, versions, epochs, running))

    async def stale(self, days: int) -> list[Stale]:
        """Flags that were not asked for, or were always the same, for this long."""
        views = await self.all()
        async with transaction(self._database) as connection:
            return await stale_flags(connection, views, days)

    async def get(self, name: str) -> FlagView:
        """One flag. Raises Rejected when there is none of this name."""
        views = await self.all()

        for view in views:
            if view.flag.name == name:
                return view

        async with transaction(self._database) as connection:
            await flag_of(connection, name)  # says so if this version cannot read it
        raise unknown_flag(name, [view.flag.name for view in views])

    async def history(self, name: str, limit: int | None = 50) -> list[Entry]:
        """The changes of a flag, newest first, also of one that was removed.

        Raises Rejected when there is no such flag.
        """
        async with transaction(self._database) as connection:
            found = await audit.entries(
                connection, subject=subject_of(name), limit=limit
            )
        if not found:
            await self.get(name)

        return found

    async def explain(
        self, name: str, target: RuleTarget, at: datetime | None = None
    ) -> Explanation:
        """Which rule decides for `target`, and why each other one does not.

        Now, or at a past moment. Raises Rejected.
        """
        if at is not None and at > datetime.now(UTC):
            raise Rejected(
                "That time is in the future.", Amend("omit", ("at",), "a past time")
            )

        async with transaction(self._database) as connection:
            audience = await audience_of(connection, target)
            rules = await rules_of(connection, name, at)
            experiment = await running_on(connection, name, at)

        flag = read_flag(name, rules) or (await self.get(name)).flag
        if experiment is not None:
            rules[EXPERIMENT] = experiment

        asked = {**rules, NAMED: named_in(rules)}
        clock = utc_now if at is None else partial(_same, at)

        return Explanation(
            flag, audience, tuple(steps(flag, asked, audience, clock)), at
        )

    async def set(
        self,
        name: str,
        target: RuleTarget | NamedTarget,
        value: object,
        author: Author,
        *,
        expected: int | None = None,
    ) -> Changed:
        """Sets a rule. `value` None with `target.kill`: the default, whatever other rules say."""
        async with changing(self._database, self._pipe, author) as change:
            flag, rules = await self._locked(change, name, expected)
            scope, rule = await self._scoped(change, flag, target, value, rules)

            return await _move(
                change, "flag.set", name, rules, {**rules, scope: rule}
            )

    async def unset(
        self,
        name: str,
        target: RuleTarget,
        author: Author,
        *,
        expected: int | None = None,
    ) -> Changed:
        """Removes a rule: the next one decides."""
        async with changing(self._database, self._pipe, author) as change:
            _, rules = await self._locked(change, name, expected)
            scope = await scope_of(change.connection, target)
            remaining = {
                kept: value for kept, value in rules.items() if kept != scope
            }

            return await _move(change, "flag.unset", name, rules, remaining)

    async def describe(
        self,
        name: str,
        about: About,
        author: Author,
        *,
        expected: int | None = None,
    ) -> Changed:
        """Sets who looks after a flag, and its tags. Raises Rejected."""
        about.check()

        async with changing(self._database, self._pipe, author) as change:
            _, rules = await self._locked(change, name, expected)
            kept = {scope: rule for scope, rule in rules.items() if scope != ABOUT}
            new = kept | ({ABOUT: about.stored()} if about.is_set else {})

            return await _move(change, "flag.about", name, rules, new)

    async def undo(
        self,
        name: str,
        author: Author,
        *,
        entry: int | None = None,
        expected: int | None = None,
    ) -> Changed:
        """Takes back the last change, or the one with this audit number.

        Undoing an undo makes the change again. Raises Conflict when a later change
        overwrote what that change set.
        """
        async with changing(self._database, self._pipe, author) as change:
            await expect(change.connection, subject_of(name), expected)
            undone = await past_change(change, name, entry)
            rules = await rules_of(change.connection, name)
            restored = rules_without(undone, rules)

            return await _move(change, "flag.undo", name, rules, restored)

    async def create(
        self, flag: Flag[Any], default: object, author: Author
    ) -> Changed:
        """Makes a flag that no code declares (`agent.control.flags.new_flag`), for an
        experiment.
        """
        checked = replace(flag, default=flag.checked(default))
        made = made_by_operator(flag.name, definition_of(checked))

        async with changing(self._database, self._pipe, author) as change:
            rules = await rules_of(change.connection, flag.name)
            if flag.name in DECLARED or DEFINITION in rules:
                raise Rejected(
                    f"There already is a flag {flag.name}. Choose another name."
                )
            definition = {DEFINITION: definition_of(made)}

            return await _move(change, "flag.create", flag.name, rules, definition)

    async def remove(
        self, name: str, author: Author, *, expected: int | None = None
    ) -> Changed:
        """Removes a flag that an operator made, with all its rules."""
        async with changing(self._database, self._pipe, author) as change:
            _, rules = await self._locked(change, name, expected)
            if name in DECLARED:
                raise Rejected(
                    f"{name} is declared in the code and stays.",
                    Run("flags unset", "removes a rule", target=name),
                )

            return await _move(change, "flag.remove", name, rules, {})

    async def _locked(
        self, change: Change, name: str, expected: int | None
    ) -> tuple[Flag[Any], Rules]:
        """The flag as it is, while nobody else can change it."""
        await expect(change.connection, subject_of(name), expected)
        rules = await rules_of(change.connection, name)
        flag = read_flag(name, rules)

        if flag is None:
            raise unknown_flag(name, [view.flag.name for view in await self.all()])

        return flag, rules

    async def _scoped(
        self,
        change: Change,
        flag: Flag[Any],
        target: RuleTarget | NamedTarget,
        value: object,
        rules: Rules,
    ) -> tuple[str, object]:
        """The scope of a rule, and what is stored there."""
        if isinstance(target, RuleTarget):
            scope = await scope_of(change.connection, target)
            return scope, self._rule(flag, target, value, rules)

        by_default = value is None and target.kill
        checked = None if by_default else self.check(flag, value)
        scope, rule = await named_rule(change.connection, flag.name, target, checked)
        named = sum(each.startswith(PREFIX) for each in {*rules, scope})
        if named > MAX_NAMED_RULES:
            raise Rejected(
                f"A flag has at most {MAX_NAMED_RULES} rules with a name.",
                Run("flags unset", "removes one", target=flag.name),
            )

        kept = rule if target.salt else keeping_salt(scope, rule, rules)

        return scope, kept

    def _rule(
        self, flag: Flag[Any], target: RuleTarget, value: object, rules: Rules
    ) -> object:
        if value is None and target.kill:
            return None

        checked = self.check(flag, value)
        if target.percentage is None:
            return checked

        kept = rules.get(PERCENTAGE, {}).get("salt", flag.name)
        salt = kept if target.salt is None else target.salt

        return percentage_rule(target.percentage, salt, checked)


def _same(at: datetime) -> datetime:
    return at


async def _move(
    change: Change, action: str, name: str, old: Rules, new: Rules
) -> Changed:
    before, after = await replace_rules(change, action, name, old, new)

    if not before and not after:
        version = await version_of(change.connection, subject_of(name))
        return Changed(name, {}, {}, None, version)

    return Changed(name, before, after, change.epoch, change.entries[-1])
