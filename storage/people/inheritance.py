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

_MOVE_RULES = text("""
UPDATE feature_flags f SET scope = :stays, updated_at = now()
WHERE scope = :gone AND NOT EXISTS (SELECT FROM feature_flags WHERE scope = :stays AND name = f.name)
RETURNING name, CAST(value AS text)
""")
_DROP_RULES = text(
    "DELETE FROM feature_flags WHERE scope = :gone RETURNING name, CAST(value AS text)"
)
_LIMITS = text("""
SELECT person_id, max(metadata->>'limit') FROM users
WHERE person_id IN (:gone, :stays) AND metadata ? 'limit' GROUP BY person_id
""")
_SET_LIMIT = text("""
UPDATE users SET metadata = jsonb_set(metadata, '{limit}', to_jsonb(CAST(:wanted AS text)))
WHERE person_id IN (:gone, :stays)
""")
_MOVE_BUDGET = text("""
UPDATE budgets SET subject = :stays, updated_at = now() WHERE scope = 'person' AND subject = :gone
    AND NOT EXISTS (SELECT FROM budgets WHERE scope = 'person' AND subject = :stays)
RETURNING tokens, usd
""")
_DROP_BUDGET = text(
    "DELETE FROM budgets WHERE scope = 'person' AND subject = :gone RETURNING tokens, usd"
)
_HOLD_DAYS = text("""
SELECT FROM budget_days WHERE scope = 'person' AND subject IN (:gone, :stays) ORDER BY scope, subject, day FOR UPDATE
""")
_ADD_DAYS = text("""
WITH used AS (
    DELETE FROM budget_days WHERE scope = 'person' AND subject = :gone RETURNING day, tokens, usd
)
INSERT INTO budget_days AS d (scope, subject, day, tokens, usd)
SELECT 'person', :stays, day, tokens, usd FROM used
ON CONFLICT (scope, subject, day) DO UPDATE SET tokens = d.tokens + excluded.tokens, usd = d.usd + excluded.usd
""")
_MOVE_RESERVATIONS = text("""
UPDATE budget_reservations SET person = :stays WHERE id IN (
    SELECT id FROM budget_reservations WHERE person = :gone FOR UPDATE SKIP LOCKED)
""")
"""One that is being settled at this moment is passed over, or both would wait: what it did
not use stays counted.
"""


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
    moved = (await connection.execute(_MOVE_RULES, scopes)).all()
    dropped = (await connection.execute(_DROP_RULES, {"gone": scopes["gone"]})).all()
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
    limits = {row[0]: row[1] for row in await connection.execute(_LIMITS, people)}
    if not limits or limits.get(gone) == limits.get(stays):
        return []
    kept = limits.get(stays) or limits[gone]
    await connection.execute(_SET_LIMIT, {**people, "wanted": kept})
    before = {person_scope(person): limit for person, limit in limits.items()}
    return [Moved("limit.move", f"person:{stays}", before, {person_scope(stays): kept})]


async def _budget(connection: AsyncConnection, gone: UUID, stays: UUID) -> list[Moved]:
    people = {"gone": str(gone), "stays": str(stays)}
    await connection.execute(_HOLD_DAYS, people)
    await connection.execute(_ADD_DAYS, people)
    await connection.execute(_MOVE_RESERVATIONS, people)
    moved = (await connection.execute(_MOVE_BUDGET, people)).first()
    dropped = (await connection.execute(_DROP_BUDGET, {"gone": people["gone"]})).first()
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
