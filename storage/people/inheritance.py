"""What operators set for a person, when that person becomes one with another by linking accounts.

Rules of flags, a rate limit and a budget go over to the person who stays, unless they have
one of that kind: then theirs holds for both. What both used of a budget is added up. Runs
in the transaction that joins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.control.rules import person_scope
from storage.limits.budget_admin import told
from storage.people import STATEMENTS


@dataclass(frozen=True, slots=True)
class Moved:
    """A row for the audit log."""

    action: str
    subject: str
    before: Any
    after: Any


async def inherit(connection: AsyncConnection, gone: UUID, stays: UUID) -> list[Moved]:
    """Moves what was set for `gone`. Their accounts are still their own and, as the epoch,
    locked by whoever calls.
    """
    return [
        *await _rules(connection, gone, stays),
        *await _limit(connection, gone, stays),
        *await _budget(connection, gone, stays),
    ]


async def _rules(connection: AsyncConnection, gone: UUID, stays: UUID) -> list[Moved]:
    scopes = {"gone": person_scope(gone), "stays": person_scope(stays)}
    moved = (await connection.execute(text(STATEMENTS["move_rules"]), scopes)).all()
    dropped = (
        await connection.execute(
            text(STATEMENTS["drop_rules"]), {"gone": scopes["gone"]}
        )
    ).all()
    return [
        *(
            _rule("flag.move", name, {scopes["gone"]: value}, {scopes["stays"]: value})
            for name, value in moved
        ),
        *(
            _rule("flag.unset", name, {scopes["gone"]: value}, {})
            for name, value in dropped
        ),
    ]


def _rule(
    action: str, name: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Moved:
    was, is_now = (
        {scope: msgspec.json.decode(value) for scope, value in part.items()}
        for part in (before, after)
    )
    return Moved(action, f"flag:{name}", was, is_now)


async def _limit(connection: AsyncConnection, gone: UUID, stays: UUID) -> list[Moved]:
    people = {"gone": gone, "stays": stays}
    limits = {
        row[0]: row[1]
        for row in await connection.execute(text(STATEMENTS["limits_of_both"]), people)
    }
    if not limits or limits.get(gone) == limits.get(stays):
        return []
    kept = limits.get(stays) or limits[gone]
    await connection.execute(
        text(STATEMENTS["set_limit_of_both"]), {**people, "limit": kept}
    )
    before = {person_scope(person): limit for person, limit in limits.items()}
    return [Moved("limit.move", f"person:{stays}", before, {person_scope(stays): kept})]


async def _budget(connection: AsyncConnection, gone: UUID, stays: UUID) -> list[Moved]:
    people = {"gone": str(gone), "stays": str(stays)}
    await connection.execute(text(STATEMENTS["hold_days"]), people)
    await connection.execute(text(STATEMENTS["add_days"]), people)
    await connection.execute(text(STATEMENTS["move_reservations"]), people)
    moved = (await connection.execute(text(STATEMENTS["move_budget"]), people)).first()
    dropped = (
        await connection.execute(
            text(STATEMENTS["drop_budget"]), {"gone": people["gone"]}
        )
    ).first()
    if moved is not None:
        budget = told((moved[0], moved[1]))
        was, is_now = {person_scope(gone): budget}, {person_scope(stays): budget}
        return [Moved("budget.move", f"budget:person:{stays}", was, is_now)]
    if dropped is not None:
        return [
            Moved(
                "budget.unset",
                f"budget:person:{gone}",
                told((dropped[0], dropped[1])),
                None,
            )
        ]
    return []
