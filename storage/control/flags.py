"""Everything an operator does with flags; the command line and the console call it.

Each change is one transaction with its audit row and the next epoch. `expected` is the
version of the flag that the operator saw. If somebody else changed the flag since, nothing
is changed and Conflict says what happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from agent.control.experiments import Experiment
from agent.control.flags import DECLARED, Flag, definition_of, made_by_operator
from agent.control.rules import (
    DEFINITION,
    EXPERIMENT,
    PERCENTAGE,
    Audience,
    Outcome,
    Rules,
    Step,
    percentage_rule,
    steps,
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
from storage.control.targets import RuleTarget, audience_of, scope_of
from storage.postgres import LEASE_SECONDS, Database
from storage.redis import RedisPipe
from storage.transaction import transaction


@dataclass(frozen=True, slots=True)
class FlagView:
    """A flag as an operator sees it."""

    flag: Flag[Any]
    rules: Rules
    version: int
    """Of its last change; 0: never changed."""
    applied: int
    """Number of live instances on which its last change is in force."""
    instances: int
    """Number of live instances."""
    experiment: Experiment | None = None
    """The one that runs on it."""

    @property
    def declared(self) -> bool:
        return self.flag.name in DECLARED


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did. An empty mapping: nothing was set before, or nothing is set now."""

    name: str
    before: Rules
    after: Rules
    epoch: int | None
    """None: everything was so already."""
    version: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """All rules of a flag for one audience; the first that matched decides."""

    flag: Flag[Any]
    audience: Audience
    steps: Sequence[Step]
    at: datetime | None
    """None: now."""

    @property
    def decided(self) -> Step:
        return next(step for step in self.steps if step.outcome is Outcome.MATCHED)


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
            epochs = await connection.scalars(
                text(STATEMENTS["applied_epochs"]), lease
            )
            rows = await read_experiments(connection)

        running = {
            row.experiment.flag: row.experiment for row in rows if row.ran(None)
        }

        return list(_views(rules, versions, epochs.all(), running))

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

        return Explanation(flag, audience, tuple(steps(flag, rules, audience)), at)

    async def set(
        self,
        name: str,
        target: RuleTarget,
        value: object,
        author: Author,
        *,
        expected: int | None = None,
    ) -> Changed:
        """Sets a rule. `value` None with `target.kill`: the default, whatever other rules say."""
        async with changing(self._database, self._pipe, author) as change:
            flag, rules = await self._locked(change, name, expected)
            scope = await scope_of(change.connection, target)
            rule = self._rule(flag, target, value, rules)

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


def _views(
    rules: Mapping[str, Rules],
    versions: Mapping[str, tuple[int, int]],
    epochs: Sequence[int],
    running: Mapping[str, Experiment],
) -> Iterator[FlagView]:
    for name, scopes in sorted(rules.items()):
        try:
            flag = read_flag(name, scopes)
        except Rejected:
            continue  # a newer version's flag is no reason to hide the others
        if flag is None:
            continue

        version, epoch = versions.get(subject_of(name), (0, 0))
        applied = sum(each >= epoch for each in epochs)
        yield FlagView(flag, scopes, version, applied, len(epochs), running.get(name))


async def _move(
    change: Change, action: str, name: str, old: Rules, new: Rules
) -> Changed:
    before, after = await replace_rules(change, action, name, old, new)

    if not before and not after:
        version = await version_of(change.connection, subject_of(name))
        return Changed(name, {}, {}, None, version)

    return Changed(name, before, after, change.epoch, change.entries[-1])
