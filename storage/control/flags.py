"""Everything an operator does with flags: each a function that the command line and the
console call.

Each change is one transaction with its audit row and the next epoch. `expected` is the
version of the flag that the operator saw: when somebody else changed it since, nothing is
changed and Conflict says what happened.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

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
from agent.core.errors import Conflict, Rejected, UnknownModel
from agent.core.text import is_text, shown_name
from agent.ports import LanguageModels
from storage.control import STATEMENTS, audit
from storage.control.audit import Author, Entry
from storage.control.changes import Change, as_json, changing, expect, version_of
from storage.control.experiment_rows import read_experiments, running_on
from storage.control.targets import RuleTarget, audience_of, scope_of
from storage.postgres import LEASE_SECONDS, Database
from storage.redis import RedisPipe
from storage.transaction import transaction


@dataclass(frozen=True, slots=True)
class FlagView:
    """A flag as an operator sees it."""

    flag: Flag[Any]
    rules: Rules
    version: int  # of its last change; 0: never changed
    applied: int  # on so many live instances its last change is in force
    instances: int  # live ones
    experiment: Experiment | None = None  # that runs on it

    @property
    def declared(self) -> bool:
        return self.flag.name in DECLARED


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did; empty mappings: nothing was set, or nothing is any more."""

    name: str
    before: Rules
    after: Rules
    epoch: int | None  # None: it was so already
    version: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """All rules of a flag for one audience; the first that matched decides."""

    flag: Flag[Any]
    audience: Audience
    steps: Sequence[Step]
    at: datetime | None  # None: now

    @property
    def decided(self) -> Step:
        return next(step for step in self.steps if step.outcome is Outcome.MATCHED)


class FlagAdmin:
    """The operator's side of flags."""

    def __init__(
        self, database: Database, pipe: RedisPipe, models: LanguageModels
    ) -> None:
        self._database = database
        self._pipe = pipe
        self._models = models

    # --- reading --------------------------------------------------------------

    async def all(self) -> list[FlagView]:
        """All flags by name, but for those that this version can not read."""
        async with transaction(self._database) as connection:
            rules: dict[str, dict[str, Any]] = {name: {} for name in DECLARED}
            for name, scope, value in await connection.execute(
                text(STATEMENTS["all_rules"])
            ):
                rules.setdefault(name, {})[scope] = msgspec.json.decode(value)
            versions = {
                row[0]: (row[1], row[2] or 0)
                for row in await connection.execute(
                    text(STATEMENTS["versions_of_kind"]), {"kind": "flag"}
                )
            }
            epochs = (
                await connection.scalars(
                    text(STATEMENTS["applied_epochs"]), {"lease": LEASE_SECONDS}
                )
            ).all()
            rows = [
                row.experiment
                for row in await read_experiments(connection)
                if row.ran(None)
            ]
        running = {experiment.flag: experiment for experiment in rows}
        views = []
        for name, scopes in sorted(rules.items()):
            try:
                flag = _flag(name, scopes)
            except Rejected:
                continue  # a newer version's flag is no reason to hide the others
            version, epoch = versions.get(_subject(name), (0, 0))
            if flag is not None:
                applied = sum(e >= epoch for e in epochs)
                views.append(
                    FlagView(
                        flag, scopes, version, applied, len(epochs), running.get(name)
                    )
                )
        return views

    async def get(self, name: str) -> FlagView:
        """One flag. Raises Rejected when there is none of this name."""
        views = await self.all()
        found = next((view for view in views if view.flag.name == name), None)
        if found is None:
            async with transaction(self._database) as connection:
                await flag_of(
                    connection, name
                )  # says so if it is there and can not be read
            raise _unknown(name, [view.flag.name for view in views])
        return found

    async def history(self, name: str, limit: int | None = 50) -> list[Entry]:
        """Its changes, newest first. A flag that was removed still has one. Raises Rejected
        when there is none.
        """
        async with transaction(self._database) as connection:
            found = await audit.entries(connection, subject=_subject(name), limit=limit)
        if not found:
            await self.get(name)
        return found

    async def explain(
        self, name: str, target: RuleTarget, at: datetime | None = None
    ) -> Explanation:
        """Which rule decides for `target` and why each other one does not, now or at a past
        moment.
        """
        if at is not None and at > datetime.now(UTC):
            raise Rejected(
                "This moment has not come yet. Name one that is past, or leave --at away."
            )
        async with transaction(self._database) as connection:
            who = await audience_of(connection, target)
            rules = (
                await _rules(connection, name)
                if at is None
                else await _rules_at(connection, name, at)
            )
            experiment = await running_on(connection, name, at)
        flag = _flag(name, rules) or (await self.get(name)).flag
        if experiment is not None:
            rules[EXPERIMENT] = experiment
        return Explanation(flag, who, tuple(steps(flag, rules, who)), at)

    # --- changing -------------------------------------------------------------

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
            return await _move(change, "flag.set", name, rules, {**rules, scope: rule})

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
            rest = {kept: value for kept, value in rules.items() if kept != scope}
            return await _move(change, "flag.unset", name, rules, rest)

    async def undo(
        self,
        name: str,
        author: Author,
        *,
        entry: int | None = None,
        expected: int | None = None,
    ) -> Changed:
        """Takes the last change back, or the one with this audit number. Undoing an undo
        does the change again.

        Raises Conflict when what that change set was changed again since.
        """
        async with changing(self._database, self._pipe, author) as change:
            await expect(change.connection, _subject(name), expected)
            past = await audit.entries(
                change.connection,
                subject=_subject(name),
                limit=1 if entry is None else None,
            )
            undone = next((row for row in past if entry in (None, row.id)), None)
            if undone is None:
                raise Rejected(
                    f"There is no such change of {name}. `agent flags history {name}` shows them."
                )
            rules = await _rules(change.connection, name)
            if not all(
                _same(rules.get(scope), undone.after.get(scope))
                for scope in undone.before | undone.after
            ):
                raise Conflict(
                    f"What change {undone.id} set was changed since. Set what you want instead."
                )
            rest = {
                scope: value
                for scope, value in rules.items()
                if scope not in undone.after
            }
            return await _move(change, "flag.undo", name, rules, rest | undone.before)

    async def create(self, flag: Flag[Any], default: object, author: Author) -> Changed:
        """Makes a flag that no code declares (`agent.control.flags.new_flag`), for an
        experiment.
        """
        made = made_by_operator(
            flag.name, definition_of(replace(flag, default=flag.checked(default)))
        )
        async with changing(self._database, self._pipe, author) as change:
            rules = await _rules(change.connection, flag.name)
            if flag.name in DECLARED or DEFINITION in rules:
                raise Rejected(
                    f"There is a flag {flag.name} already. Choose another name."
                )
            return await _move(
                change,
                "flag.create",
                flag.name,
                rules,
                {DEFINITION: definition_of(made)},
            )

    async def remove(
        self, name: str, author: Author, *, expected: int | None = None
    ) -> Changed:
        """Removes a flag that an operator made, with all its rules."""
        async with changing(self._database, self._pipe, author) as change:
            _, rules = await self._locked(change, name, expected)
            if name in DECLARED:
                raise Rejected(
                    f"{name} is declared in the code and stays. `agent flags "
                    f"unset {name}` removes a rule."
                )
            return await _move(change, "flag.remove", name, rules, {})

    async def _locked(
        self, change: Change, name: str, expected: int | None
    ) -> tuple[Flag[Any], Rules]:
        """The flag as it is, while nobody else can change it."""
        await expect(change.connection, _subject(name), expected)
        rules = await _rules(change.connection, name)
        flag = _flag(name, rules)
        if flag is None:
            raise _unknown(name, [view.flag.name for view in await self.all()])
        return flag, rules

    def _rule(
        self, flag: Flag[Any], target: RuleTarget, value: object, rules: Rules
    ) -> object:
        if value is None and target.kill:
            return None
        checked = checked_value(flag, value, self._models)
        if target.percentage is None:
            return checked
        kept = rules.get(PERCENTAGE, {}).get("salt", flag.name)
        return percentage_rule(
            target.percentage, kept if target.salt is None else target.salt, checked
        )


def checked_value(flag: Flag[Any], value: object, models: LanguageModels) -> Any:
    """The value as it is stored. Raises Rejected with a sentence that names what is allowed."""
    checked = flag.checked(value)
    if flag.names_model and checked:
        try:
            models.check(checked)
        except UnknownModel as error:
            raise Rejected(f"{flag.name}: {error.sentence}") from error
    return checked


async def flag_of(connection: AsyncConnection, name: str) -> Flag[Any] | None:
    """The flag of this name as it is now. Raises Rejected when this version can not read it."""
    return DECLARED.get(name) or _flag(name, await _rules(connection, name))


async def _move(
    change: Change, action: str, name: str, old: Rules, new: Rules
) -> Changed:
    """Makes the rules of a flag be `new`, and says so in the log. What is so already is no
    change.
    """
    before = {
        scope: value
        for scope, value in old.items()
        if scope not in new or not _same(new[scope], value)
    }
    after = {
        scope: value
        for scope, value in new.items()
        if scope not in old or not _same(old[scope], value)
    }
    if not before and not after:
        return Changed(
            name, {}, {}, None, await version_of(change.connection, _subject(name))
        )
    if new and name not in DECLARED and DEFINITION not in new:
        raise Rejected(
            f"{name} has rules still. `agent flags remove {name}` removes it with them."
        )
    if DEFINITION in old and DEFINITION not in new:
        await _refuse_while_tested(change.connection, name)
    for scope in before.keys() - after.keys():
        await change.connection.execute(
            text(STATEMENTS["unset_rule"]), {"name": name, "scope": scope}
        )
    for scope, value in after.items():
        await change.connection.execute(
            text(STATEMENTS["set_rule"]),
            {"name": name, "scope": scope, "value": as_json(value)},
        )
    await change.record(action, _subject(name), before=before, after=after)
    return Changed(name, before, after, change.epoch, change.entries[-1])


def _same(one: Any, other: Any) -> bool:
    """Whether these are the same JSON. To Python alone, true is 1."""
    return _written(one) == _written(other)


def _written(value: Any) -> str:
    """As text, the same whoever wrote it: Postgres orders names anew and drops exponents,
    so that 1e16 is whole.
    """
    return json.dumps(
        json.loads(json.dumps(value), parse_float=_number), sort_keys=True
    )


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


async def _refuse_while_tested(connection: AsyncConnection, name: str) -> None:
    if experiment := await running_on(connection, name):
        raise Rejected(
            f"The experiment {experiment.name} runs on {name}. `agent "
            f"experiments stop {experiment.name}` comes first."
        )


def moment(typed: str) -> datetime:
    """A moment as an operator types it, in their time zone if it names none. Raises Rejected."""
    try:
        return datetime.fromisoformat(typed).astimezone()
    except (ValueError, OverflowError, OSError):
        raise Rejected(
            "A moment looks like 2026-03-01T14:00, with +01:00 or Z for a time zone."
        ) from None


async def _rules(connection: AsyncConnection, name: str) -> dict[str, Any]:
    if not is_text(name):
        return {}  # Postgres could not even look for it
    rows = await connection.execute(text(STATEMENTS["rules_of_flag"]), {"name": name})
    return {scope: msgspec.json.decode(value) for scope, value in rows}


async def _rules_at(
    connection: AsyncConnection, name: str, at: datetime
) -> dict[str, Any]:
    """Every change until then, one after the other."""
    rules: dict[str, Any] = {}
    for row in reversed(
        await audit.entries(connection, subject=_subject(name), until=at, limit=None)
    ):
        rules = {
            scope: value for scope, value in rules.items() if scope not in row.before
        } | row.after
    return rules


def _flag(name: str, rules: Rules) -> Flag[Any] | None:
    """None: there is none. Raises Rejected when this version can not read it."""
    return DECLARED.get(name) or (
        made_by_operator(name, rules[DEFINITION]) if DEFINITION in rules else None
    )


def _subject(name: str) -> str:
    return f"flag:{name}"


def _unknown(name: str, known: Sequence[str]) -> Rejected:
    return Rejected(
        f"There is no flag {shown_name(name)}. There are: {', '.join(known)}. "
        "`agent flags create` makes another."
    )
