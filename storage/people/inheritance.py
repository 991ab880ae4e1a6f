"""What happens to a person's settings when linking accounts makes two people one.

Rules of flags, a rate limit and a budget move from the person who joins to the one who
stays. If the one who stays has one of that kind, it holds for both. What both used of a
budget is added up. Runs in the transaction that joins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from agent.control.named_rules import without_person
from agent.control.rules import person_scope
from storage.connecting.connection import Connection
from storage.limits.budget_admin import described
from storage.limits.budget_views import logged
from storage.people import STATEMENTS


class Moved(Struct, frozen=True):
    """A row for the audit log."""

    action: str
    subject: str
    before: Any
    after: Any


async def inherit(
    connection: Connection,
    gone: UUID,
    stays: UUID,
) -> list[Moved]:
    """Moves what operators set for `gone` to `stays`.

    The accounts of `gone` are still their own. The caller has locked them, and the epoch.
    """
    return [
        *await _rules(connection, gone, stays),
        *await _named_rules(connection, gone, stays),
        *await _limit(connection, gone, stays),
        *await _budget(connection, gone, stays),
    ]


async def _rules(
    connection: Connection,
    gone: UUID,
    stays: UUID,
) -> list[Moved]:
    scopes = {"gone": person_scope(gone), "stays": person_scope(stays)}
    source, target = scopes["gone"], scopes["stays"]
    move, drop = STATEMENTS["move_rules"], STATEMENTS["drop_rules"]
    moved = await connection.execute(move, scopes)
    dropped = await connection.execute(drop, {"gone": source})

    return [
        *(
            _rule("flag.move", name, {source: value}, {target: value})
            for name, value in moved
        ),
        *(_rule("flag.unset", name, {source: value}, {}) for name, value in dropped),
    ]


async def _named_rules(
    connection: Connection,
    gone: UUID,
    stays: UUID,
) -> list[Moved]:
    """In lists of people, the one who stays takes the place of the one who joins."""
    found = STATEMENTS["rules_naming"]
    rows = await connection.execute(found, {"person": str(gone)})
    moved = []

    for name, scope, written in rows:
        value = msgspec.json.encode(
            without_person(msgspec.json.decode(written), gone, stays)
        ).decode()
        await connection.execute(
            STATEMENTS["replace_rule"],
            {"name": name, "scope": scope, "value": value},
        )
        moved.append(_rule("flag.move", name, {scope: written}, {scope: value}))

    return moved


def _rule(
    action: str,
    name: str,
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> Moved:
    return Moved(action, f"flag:{name}", _decoded(before), _decoded(after))


def _decoded(rules: Mapping[str, str]) -> dict[str, Any]:
    return {scope: msgspec.json.decode(value) for scope, value in rules.items()}


async def _limit(
    connection: Connection,
    gone: UUID,
    stays: UUID,
) -> list[Moved]:
    people = {"gone": gone, "stays": stays}
    limits = {
        row[0]: row[1]
        for row in await connection.execute(STATEMENTS["limits_of_both"], people)
    }
    if not limits or limits.get(gone) == limits.get(stays):
        return []

    kept = limits.get(stays) or limits[gone]
    values = {**people, "limit": kept}
    await connection.execute(STATEMENTS["set_limit_of_both"], values)
    before = {person_scope(person): limit for person, limit in limits.items()}

    return [
        Moved("limit.move", f"person:{stays}", before, {person_scope(stays): kept})
    ]


async def _budget(
    connection: Connection,
    gone: UUID,
    stays: UUID,
) -> list[Moved]:
    people = {"gone": str(gone), "stays": str(stays)}
    await connection.execute(STATEMENTS["hold_days"], people)
    await connection.execute(STATEMENTS["add_days"], people)
    await connection.execute(STATEMENTS["move_reservations"], people)

    move, drop = STATEMENTS["move_budget"], STATEMENTS["drop_budget"]
    moved = await connection.execute(move, people)
    dropped = await connection.execute(drop, {"gone": str(gone)})

    return [
        *(_moved_budget(gone, stays, row) for row in moved),
        *(
            Moved(
                "budget.unset",
                logged("person", str(gone), row.period),
                described((row.tokens, row.usd)),
                None,
            )
            for row in dropped
        ),
    ]


def _moved_budget(gone: UUID, stays: UUID, row: Any) -> Moved:
    budget = described((row.tokens, row.usd))
    subject = logged("person", str(stays), row.period)

    return Moved(
        "budget.move",
        subject,
        {person_scope(gone): budget},
        {person_scope(stays): budget},
    )
