"""Everything an operator does with budgets; the command line and the console call it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, TypeVar

from msgspec import Struct

from agent.core.errors import Rejected
from agent.core.remedies import Amend, Run
from storage.connecting.connection import Connection
from storage.control.audit import Author
from storage.control.changes import changing, expect, version_of
from storage.control.targets import RuleTarget, audience_of
from storage.limits import STATEMENTS
from storage.limits.budget_views import (
    EVERYTHING,
    BudgetPage,
    BudgetView,
    Key,
    Period,
    Scope,
    logged,
    read_views,
    walked,
)
from storage.limits.budgets import ANYONE
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction

Amount = TypeVar("Amount", int, Decimal)
Tokens = int | Literal["none"] | None
Usd = Decimal | Literal["none"] | None
"""One half of a budget as an operator names it: an amount, no bound ("none"), or None: it
stays as it is.
"""
Halves = tuple[int | None, Decimal | None]
"""Tokens and US dollars of a budget; None: no bound."""
MAX_TOKENS = 10**15
MAX_USD = Decimal(100_000)
USD_DECIMALS = 8
"""Decimals of a stored amount."""
SETTLING_SECONDS = 60.0
"""Time for a settlement that finds Postgres away at first."""
CALL_SECONDS = 120.0 + SETTLING_SECONDS
"""How long a call to a model lasts at most, with its settlement."""


class Budget(Struct, frozen=True):
    """A budget after a change; None: no bound."""

    tokens: int | None
    usd: Decimal | None
    version: int


class BudgetAdmin:
    """The operator's side of budgets."""

    def __init__(
        self,
        database: Database,
        pipe: RedisPipe,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        """`call_seconds`: how long a call to a model lasts at most, with its settlement."""
        self._database = database
        self._pipe = pipe
        self._call_seconds = call_seconds

    async def list(self) -> list[BudgetView]:
        """All budgets, and all subjects whose use a budget counted today."""
        return [*(await self.page(EVERYTHING)).rows]

    async def page(
        self,
        most: int,
        *,
        after: Key | None = None,
        words: str = "",
    ) -> BudgetPage:
        """A part of the same, `most` rows at most.

        `after`: the key of the last row before it. `words`: only those with this in their
        name, account or id.
        """
        async with transaction(self._database) as connection:
            found = await walked(connection, most, after, words.lower() or None)
            views = await read_views(connection, found.keys, self._call_seconds)

        return BudgetPage(views, found.next)

    async def find(
        self,
        scope: Scope,
        subject: str,
        period: Period,
    ) -> BudgetView | None:
        """One of them by its key; None: nothing is set, and nothing was counted."""
        keys = [(scope, subject, period)]
        async with transaction(self._database) as connection:
            views = await read_views(connection, keys, self._call_seconds)

        return next(iter(views), None)

    async def version(
        self, scope: Scope, subject: str, period: Period = "day"
    ) -> int:
        """The number of a budget's last change; 0: never changed.

        Raises Rejected for an unknown person or channel.
        """
        async with transaction(self._database) as connection:
            name = await _subject(connection, scope, subject)

            return await version_of(connection, logged(scope, name, period))

    async def set(
        self,
        scope: Scope,
        subject: str,
        tokens: Tokens,
        usd: Usd,
        author: Author,
        *,
        expected: int | None = None,
        period: Period = "day",
    ) -> Budget:
        """Sets a budget from now on. It counts earlier calls of its day or month only if a
        budget of that period bound them.

        `subject`: a channel, a person (an account as `channel:id`, or an id), or * for
        each. Raises Rejected, and Conflict when the budget is no longer at version
        `expected`.
        """
        check_amounts(tokens, usd)

        return await self._change(
            (scope, subject, period), (tokens, usd), author, expected
        )

    async def unset(
        self,
        scope: Scope,
        subject: str,
        author: Author,
        *,
        expected: int | None = None,
        period: Period = "day",
    ) -> Budget:
        """Removes a budget; then the one for * holds, if there is one.

        Raises Rejected when there is none, and Conflict when it is no longer at version
        `expected`.
        """
        return await self._change((scope, subject, period), None, author, expected)

    async def _change(
        self,
        whose: tuple[Scope, str, Period],
        named: tuple[Tokens, Usd] | None,
        author: Author,
        expected: int | None,
    ) -> Budget:
        scope, subject, period = whose
        async with changing(self._database, self._pipe, author) as change:
            name = await _subject(change.connection, scope, subject)
            key = {"scope": scope, "subject": name, "period": period}
            entry = logged(scope, name, period)
            called = f"The budget of {scope} {subject} for a {period}"
            await expect(change.connection, entry, expected, called=called)

            old = await _find(change.connection, key)
            if old is None and named is None:
                raise Rejected(
                    f"{scope} {subject} has no budget of its own for a {period}.",
                    Run("budgets list", "shows all"),
                )

            new = None if named is None else _changed(old or (None, None), named)
            tokens, usd = new or (None, None)
            if old == new:
                version = await version_of(change.connection, entry)
                return Budget(tokens, usd, version)

            await _write(change.connection, key, new)
            action = "budget.unset" if new is None else "budget.set"
            before, after = described(old), described(new)
            await change.record(action, entry, before=before, after=after)

            return Budget(tokens, usd, change.entries[-1])


async def _find(connection: Connection, key: Mapping[str, str]) -> Halves | None:
    row = (await connection.execute(STATEMENTS["find_budget"], key)).first()

    return None if row is None else (row[0], row[1])


async def _write(
    connection: Connection, key: Mapping[str, str], budget: Halves | None
) -> None:
    if budget is None:
        await connection.execute(STATEMENTS["unset_budget"], key)
        return

    tokens, usd = budget
    values = {**key, "tokens": tokens, "usd": usd}
    await connection.execute(STATEMENTS["set_budget"], values)


def check_amounts(tokens: Tokens, usd: Usd) -> None:
    if tokens is None and usd is None:
        raise Rejected(
            "A budget is in tokens, in US dollars, or both.",
            Amend("add", ("tokens", "usd")),
        )
    if isinstance(tokens, int) and not 0 <= tokens <= MAX_TOKENS:
        raise Rejected(
            f"Tokens go from 0 to {MAX_TOKENS:,}.", Amend("correct", ("tokens",))
        )
    if not isinstance(usd, Decimal):
        return
    if not usd.is_finite() or not 0 <= usd <= MAX_USD:
        raise Rejected(
            f"US dollars go from 0 to {MAX_USD:,}.", Amend("correct", ("usd",))
        )
    if usd != round(usd, USD_DECIMALS):
        raise Rejected(
            "US dollars have at most eight decimals.", Amend("correct", ("usd",))
        )


def _changed(old: Halves, named: tuple[Tokens, Usd]) -> Halves:
    """Both halves of a budget. Raises Rejected when neither remains."""
    halves = _half(old[0], named[0]), _half(old[1], named[1])
    if halves == (None, None):
        raise Rejected(
            "That leaves neither tokens nor US dollars.",
            Run("budgets unset", "removes it"),
        )

    return halves


def _half(
    old: Amount | None, named: Amount | Literal["none"] | None
) -> Amount | None:
    if named is None:
        return old

    return None if isinstance(named, str) else named


async def _subject(
    connection: Connection,
    scope: Scope,
    named: str,
) -> str:
    if named == ANYONE:
        return named
    if scope == "channel":
        await audience_of(connection, RuleTarget(channel=named))
        return named

    audience = await audience_of(connection, RuleTarget(person=named))

    return str(audience.person)


def described(budget: Halves | None) -> dict[str, object] | None:
    """A budget as it is written to the log."""
    if budget is None:
        return None

    tokens, usd = budget

    return {"tokens": tokens, "usd": None if usd is None else f"{usd.normalize():f}"}
