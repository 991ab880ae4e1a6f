"""The rules of flags as their table and the audit log hold them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from agent.control.flags import (
    DECLARED,
    MAX_CONVERSATION_LENGTH,
    Flag,
    made_by_operator,
)
from agent.control.rules import DEFINITION, Rules
from agent.core.errors import Conflict, Rejected, UnknownModel
from agent.core.remedies import Amend, Run
from agent.core.text import did_you_mean, is_text, shown_name
from agent.core.words.model_lists import LIST_SECONDS, ListsModels
from agent.ports import LanguageModels
from storage.connecting.connection import Connection
from storage.control import STATEMENTS, audit
from storage.control.audit import Entry
from storage.control.changes import Change, as_json
from storage.control.experiments.rows import running_on
from storage.postgres import Database
from storage.transaction import transaction


async def rules_of(
    connection: Connection,
    name: str,
    at: datetime | None = None,
) -> dict[str, Any]:
    """The rules of a flag by scope: now, or at a past moment."""
    if at is not None:
        return await _rules_at(connection, name, at)
    if not is_text(name):
        return {}  # Postgres could not even look for it

    rows = await connection.execute(STATEMENTS["rules_of_flag"], {"name": name})

    return {scope: msgspec.json.decode(value) for scope, value in rows}


async def rules_of_all(connection: Connection) -> dict[str, dict[str, Any]]:
    """The rules of every flag by its name; also of declared flags without any."""
    rules: dict[str, dict[str, Any]] = {name: {} for name in DECLARED}

    for name, scope, value in await connection.execute(STATEMENTS["all_rules"]):
        rules.setdefault(name, {})[scope] = msgspec.json.decode(value)

    return rules


async def longest_conversation(database: Database) -> int:
    """The largest max_conversation_length that any rule sets; 0: none does."""
    async with transaction(database) as connection:
        rules = await rules_of(connection, MAX_CONVERSATION_LENGTH.name)

    values = [
        rule.get("value") if isinstance(rule, dict) else rule
        for rule in rules.values()
    ]

    return max((value for value in values if isinstance(value, int)), default=0)


async def flag_of(connection: Connection, name: str) -> Flag[Any] | None:
    """The flag of this name as it is now. Raises Rejected when this version cannot read it."""
    return DECLARED.get(name) or read_flag(name, await rules_of(connection, name))


def read_flag(name: str, rules: Rules) -> Flag[Any] | None:
    """The flag that has these rules; None: there is none of this name.

    Raises Rejected when this version cannot read it.
    """
    if name in DECLARED:
        return DECLARED[name]
    if DEFINITION not in rules:
        return None

    return made_by_operator(name, rules[DEFINITION])


class ValueCheck(Struct, frozen=True):
    """What a flag may be set to, given the settings of the agent."""

    models: LanguageModels
    window: int | None = None
    """WINDOW_MESSAGES; None: not known here."""

    def __call__(self, flag: Flag[Any], value: object) -> Any:
        """The value as it is stored. Raises Rejected with a sentence that names what is
        allowed.
        """
        checked = flag.checked(value)

        if flag.names_model and checked:
            try:
                self.models.check(checked)
            except UnknownModel as error:
                raise Rejected(f"{flag.name}: {error.sentence}") from error

        if self.window and flag is MAX_CONVERSATION_LENGTH and checked > self.window:
            raise Rejected(
                f"{flag.name} is at most WINDOW_MESSAGES, which is {self.window}: "
                "the model is never shown more. Raise WINDOW_MESSAGES first."
            )

        return checked

    async def find_model(self, flag: Flag[Any], value: object) -> None:
        """Raises Rejected when no provider has the model that the value names."""
        name = self(flag, value) if flag.names_model else ""
        if not name or not isinstance(self.models, ListsModels):
            return

        if objection := await self.models.objection(name, LIST_SECONDS):
            raise Rejected(f"{flag.name}: {objection}", Amend("add", ("force",)))


async def versions_of_flags(
    connection: Connection,
) -> dict[str, tuple[int, int]]:
    """The version and the epoch of each flag's last change, by its subject."""
    kind = {"kind": "flag"}
    rows = await connection.execute(STATEMENTS["versions_of_kind"], kind)

    return {row.subject: (row.version, row.epoch or 0) for row in rows}


async def past_change(
    change: Change,
    name: str,
    entry: int | None,
) -> Entry:
    """The last change of a flag, or the one with this number. Raises Rejected for none."""
    past = await audit.entries(
        change.connection,
        subject=subject_of(name),
        limit=1 if entry is None else None,
    )

    for found in past:
        if entry in (None, found.id):
            return found

    raise Rejected(
        f"There is no such change of {name}.",
        Run("flags history", "shows them", target=name),
    )


def rules_without(undone: Entry, rules: Rules) -> dict[str, Any]:
    """The rules with a change taken back.

    Raises Conflict when they are no longer what that change made them.
    """
    for scope in undone.before | undone.after:
        if not _same(rules.get(scope), undone.after.get(scope)):
            raise Conflict(
                f"Change {undone.id} was overwritten by a later change. "
                "Set the value you want."
            )

    kept = {
        scope: value for scope, value in rules.items() if scope not in undone.after
    }

    restored: dict[str, Any] = kept | undone.before

    return restored


async def replace_rules(
    change: Change,
    action: str,
    name: str,
    old: Rules,
    new: Rules,
) -> tuple[Rules, Rules]:
    """Writes what differs, and records it: the rules that were there, and those that are.

    Both are empty when nothing differs. Raises Rejected when the flag itself would be
    missing, or an experiment runs on it.
    """
    before, after = await write_rules(change.connection, name, old, new)
    if before or after:
        await change.record(action, subject_of(name), before=before, after=after)

    return before, after


async def write_rules(
    connection: Connection, name: str, old: Rules, new: Rules
) -> tuple[Rules, Rules]:
    """The same without a record, where several flags change at once: those come last."""
    before, after = changed_rules(new, old), changed_rules(old, new)

    if not before and not after:
        return before, after
    if new and name not in DECLARED and DEFINITION not in new:
        raise Rejected(
            f"{name} still has rules.",
            Run("flags remove", "removes it with them", target=name),
        )
    if DEFINITION in old and DEFINITION not in new:
        await _refuse_while_tested(connection, name)

    await _write(connection, name, before, after)

    return before, after


def subject_of(name: str) -> str:
    """The subject of a flag in the audit log."""
    return f"flag:{name}"


def unknown_flag(name: str, known: Sequence[str]) -> Rejected:
    return Rejected(
        f"There is no flag {shown_name(name)}.{did_you_mean(name, known)} "
        f"There are: {', '.join(known)}.",
        Run("flags create", "makes another"),
    )


async def _rules_at(
    connection: Connection,
    name: str,
    at: datetime,
) -> dict[str, Any]:
    """Every change until then, one after the other."""
    changes = await audit.entries(
        connection, subject=subject_of(name), until=at, limit=None
    )
    rules: dict[str, Any] = {}

    for change in reversed(changes):
        kept = {
            scope: value
            for scope, value in rules.items()
            if scope not in change.before
        }
        rules = kept | change.after

    return rules


def changed_rules(old: Rules, new: Rules) -> dict[str, Any]:
    """Those of the new rules that are not among the old ones, or have another value there."""
    return {
        scope: value
        for scope, value in new.items()
        if scope not in old or not _same(old[scope], value)
    }


async def _write(
    connection: Connection,
    name: str,
    before: Rules,
    after: Rules,
) -> None:
    for scope in before.keys() - after.keys():
        values = {"name": name, "scope": scope}
        await connection.execute(STATEMENTS["unset_rule"], values)

    for scope, value in after.items():
        values = {"name": name, "scope": scope, "value": as_json(value)}
        await connection.execute(STATEMENTS["set_rule"], values)


async def _refuse_while_tested(connection: Connection, name: str) -> None:
    if experiment := await running_on(connection, name):
        raise Rejected(
            f"The experiment {experiment.name} runs on {name}.",
            Run("experiments stop", "comes first", target=experiment.name),
        )


def _same(one: Any, other: Any) -> bool:
    """Whether these are the same JSON. In Python alone, `True == 1`."""
    return _normalised(one) == _normalised(other)


def _normalised(value: Any) -> str:
    """JSON text that does not depend on its writer.

    Postgres reorders names and drops exponents, so that 1e16 comes back as a whole number.
    """
    parsed = json.loads(json.dumps(value), parse_float=_number)

    return json.dumps(parsed, sort_keys=True)


def _number(written: str) -> float:
    number = float(written)

    return int(number) if number.is_integer() else number
