"""Everything an operator does with budgets: each a function that the command line and the
console call.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.errors import Rejected
from storage.control.audit import Author
from storage.control.changes import changing, expect, version_of, versions
from storage.control.targets import RuleTarget, audience_of
from storage.limits import STATEMENTS
from storage.limits.budgets import ANYONE
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction

Scope = Literal["person", "channel"]
Amount = TypeVar("Amount", int, Decimal)
Tokens = int | Literal["none"] | None
Usd = Decimal | Literal["none"] | None
"""What an operator says of one half of a budget: so much, no bound ("none"), or nothing
(None: it stays).
"""
MOST_TOKENS = 10**15
MOST_USD = Decimal(100_000)
USD_DECIMALS = 8  # as they are stored
SETTLING_SECONDS = 60.0
"""For a settlement that finds Postgres away at first."""
CALL_SECONDS = 120.0 + SETTLING_SECONDS


@dataclass(frozen=True, slots=True)
class Budget:
    """As it is after a change. None: as much as they like."""

    tokens: int | None
    usd: Decimal | None
    version: int


@dataclass(frozen=True, slots=True)
class Aside:
    """What was set aside for calls to a model and is not settled."""

    calls: int
    tokens: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class BudgetView:
    """What somebody may use up in a day, and what they used up today (UTC). None: as much
    as they like.
    """

    scope: Scope
    subject: str  # a person's id, a channel's name, or * for each who has no own
    tokens: int | None
    usd: Decimal | None
    used_tokens: int  # with what calls that are not settled may have used at most
    used_usd: Decimal
    accounts: str | None  # of the person, for people
    under_way: Aside
    unsettled: Aside  # by calls that nobody knows the end of: their process died, or they were cut
    version: int  # of its last change; 0: never changed

    @property
    def settled(self) -> tuple[int, Decimal]:
        """Tokens and US dollars of calls whose usage is known."""
        return (
            self.used_tokens - self.under_way.tokens - self.unsettled.tokens,
            self.used_usd - self.under_way.usd - self.unsettled.usd,
        )


class BudgetAdmin:
    """The operator's side of budgets."""

    def __init__(
        self, database: Database, pipe: RedisPipe, call_seconds: float = CALL_SECONDS
    ) -> None:
        """`call_seconds`: the longest a call to a model takes, with its settlement."""
        self._database = database
        self._pipe = pipe
        self._call_seconds = call_seconds

    async def list(self) -> list[BudgetView]:
        """All budgets, and everyone who used something today that a budget bound."""
        async with transaction(self._database) as connection:
            rows = (
                await connection.execute(
                    text(STATEMENTS["budgets_today"]),
                    {"call_seconds": self._call_seconds},
                )
            ).all()
            known = await versions(connection, "budget")
        return [_view(known.get(_logged(row[0], row[1]), 0), *row) for row in rows]

    async def version(self, scope: Scope, subject: str) -> int:
        """Of a budget's last change; 0: never changed. Raises Rejected for who or what is
        not known.
        """
        async with transaction(self._database) as connection:
            return await version_of(
                connection, _logged(scope, await _subject(connection, scope, subject))
            )

    async def set(
        self,
        scope: Scope,
        subject: str,
        tokens: Tokens,
        usd: Usd,
        author: Author,
        *,
        expected: int | None = None,
    ) -> Budget:
        """Sets a budget from now on; what was used before today's first counted call is not in it.

        `subject`: a channel, a person (an account as `channel:id`, or an id), or * for
        each. Raises Rejected, and Conflict when the budget is no longer at version
        `expected`.
        """
        if tokens is None and usd is None:
            raise Rejected(
                "A budget is in tokens, in US dollars, or both. Name --tokens or --usd."
            )
        if isinstance(tokens, int) and not 0 <= tokens <= MOST_TOKENS:
            raise Rejected(f"Tokens go from 0 to {MOST_TOKENS:,}. Correct --tokens.")
        if isinstance(usd, Decimal) and not (usd.is_finite() and 0 <= usd <= MOST_USD):
            raise Rejected(f"US dollars go from 0 to {MOST_USD:,}. Correct --usd.")
        if isinstance(usd, Decimal) and usd != round(usd, USD_DECIMALS):
            raise Rejected("US dollars have at most eight decimals. Correct --usd.")
        return await self._change(scope, subject, (tokens, usd), author, expected)

    async def unset(
        self, scope: Scope, subject: str, author: Author, *, expected: int | None = None
    ) -> Budget:
        """Removes a budget; the one for * holds then, if there is one.

        Raises Rejected when there is none, and Conflict when it is no longer at version `expected`.
        """
        return await self._change(scope, subject, None, author, expected)

    async def _change(
        self,
        scope: Scope,
        subject: str,
        named: tuple[Tokens, Usd] | None,
        author: Author,
        expected: int | None,
    ) -> Budget:
        async with changing(self._database, self._pipe, author) as change:
            name = await _subject(change.connection, scope, subject)
            await expect(
                change.connection,
                _logged(scope, name),
                expected,
                called=f"The budget of {scope} {subject}",
            )
            key = {"scope": scope, "subject": name}
            row = (
                await change.connection.execute(text(STATEMENTS["find_budget"]), key)
            ).first()
            old = (row[0], row[1]) if row else None
            if old is None and named is None:
                raise Rejected(
                    f"{scope} {subject} has no budget of its own. `agent budgets list` shows all."
                )
            new = None if named is None else _changed(old or (None, None), named)
            tokens, usd = new or (None, None)
            if old == new:
                return Budget(
                    tokens,
                    usd,
                    await version_of(change.connection, _logged(scope, name)),
                )
            if new is None:
                await change.connection.execute(text(STATEMENTS["unset_budget"]), key)
            else:
                await change.connection.execute(
                    text(STATEMENTS["set_budget"]), key | {"tokens": tokens, "usd": usd}
                )
            action = "budget.unset" if new is None else "budget.set"
            await change.record(
                action, _logged(scope, name), before=told(old), after=told(new)
            )
            return Budget(tokens, usd, change.entries[-1])


def _changed(
    had: tuple[int | None, Decimal | None], named: tuple[Tokens, Usd]
) -> tuple[int | None, Decimal | None]:
    """Both halves of a budget. Raises Rejected when neither is left."""
    halves = _half(had[0], named[0]), _half(had[1], named[1])
    if halves == (None, None):
        raise Rejected(
            "That leaves neither tokens nor US dollars. `agent budgets unset` removes it."
        )
    return halves


def _half(had: Amount | None, named: Amount | Literal["none"] | None) -> Amount | None:
    return had if named is None else None if isinstance(named, str) else named


def _view(
    version: int,
    scope: Scope,
    subject: str,
    tokens: int | None,
    usd: Decimal | None,
    *counted: Any,
) -> BudgetView:
    used_tokens, used_usd, accounts, *aside = counted
    under_way, unsettled = Aside(*aside[:3]), Aside(*aside[3:])
    return BudgetView(
        scope,
        subject,
        tokens,
        usd,
        used_tokens,
        used_usd,
        accounts,
        under_way,
        unsettled,
        version,
    )


def _logged(scope: Scope, name: str) -> str:
    """The subject of a budget in the audit log."""
    return f"budget:{scope}:{name}"


async def _subject(connection: AsyncConnection, scope: Scope, named: str) -> str:
    if named == ANYONE:
        return named
    if scope == "channel":
        await audience_of(connection, RuleTarget(channel=named))
        return named
    return str((await audience_of(connection, RuleTarget(person=named))).person)


def told(budget: tuple[int | None, Decimal | None] | None) -> dict[str, object] | None:
    """A budget as it is written to the log."""
    if budget is None:
        return None
    tokens, usd = budget
    return {"tokens": tokens, "usd": None if usd is None else f"{usd.normalize():f}"}
