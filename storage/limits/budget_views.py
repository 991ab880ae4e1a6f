"""Budgets as operators see them, with what is used of them: one, or a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from agent.core.text import is_text
from storage.connecting.connection import Connection
from storage.control.changes import versions_of
from storage.limits import STATEMENTS

Scope = Literal["person", "channel"]
Period = Literal["day", "month"]
"""Both in UTC."""
Key = tuple[Scope, str, Period]
"""Whose, and for how long."""

WALK = 20_000
"""Budgets and counters that a search looks at for one page."""

EVERYTHING = 2**31
"""Rows of a page: more than there are."""


class Aside(Struct, frozen=True):
    """What is reserved for calls to a model and is not settled."""

    calls: int
    tokens: int
    usd: Decimal


class BudgetView(Struct, frozen=True):
    """What a person or channel may use in a day or month, and what they used in this one."""

    scope: Scope
    subject: str
    """A person's id, a channel's name, or * for each without one of their own."""
    period: Period
    tokens: int | None
    """None: no bound."""
    usd: Decimal | None
    """None: no bound."""
    used_tokens: int
    """With the worst case of calls that are not settled."""
    used_usd: Decimal
    accounts: str | None
    """Of the person, for people to read."""
    under_way: Aside
    unsettled: Aside
    """By calls whose end nobody knows: their process died, or they were cancelled."""
    version: int
    """Of its last change; 0: never changed."""
    alerted: int
    """Percent of the budget that operators were told of: 0, 50, 80 or 100."""

    @property
    def settled(self) -> tuple[int, Decimal]:
        """Tokens and US dollars of calls whose usage is known."""
        return (
            self.used_tokens - self.under_way.tokens - self.unsettled.tokens,
            self.used_usd - self.under_way.usd - self.unsettled.usd,
        )

    @property
    def key(self) -> Key:
        return self.scope, self.subject, self.period


class BudgetPage(Struct, frozen=True):
    """Budgets, and after which key the next page goes on."""

    rows: Sequence[BudgetView]
    next: Key | None
    """None: there are no more."""


class Walked(Struct, frozen=True):
    """Keys of a page, and after which one the next page goes on."""

    keys: Sequence[Key]
    next: Key | None


async def walked(
    connection: Connection,
    most: int,
    after: Key | None,
    words: str | None,
) -> Walked:
    """The keys of a page. `words`: in lower case; None: all fit."""
    if words and not is_text(words):
        return Walked((), None)

    scope, subject, period = after or ("", "", "")
    walk = max(WALK, most) if words else most + 1
    values = {
        "scope": scope,
        "subject": subject,
        "period": period,
        "words": words,
        "walk": walk,
        "page": most + 1,
    }
    statement = STATEMENTS["walked_budgets"]
    row = (await connection.execute(statement, values)).one()
    keys: list[Key] = [(one[0], one[1], one[2]) for one in row["keys"]]

    if len(keys) > most:
        return Walked(keys[:most], keys[most - 1])

    ended = tuple(row.ended) if row.looked == walk else None

    return Walked(keys, ended)


async def read_views(
    connection: Connection,
    keys: Sequence[Key],
    call_seconds: float,
) -> list[BudgetView]:
    """Those of these keys that are set or counted, in the order of their keys."""
    if not keys:
        return []

    scopes, subjects, periods = zip(*keys, strict=True)
    values = {
        "scopes": [*scopes],
        "subjects": [*subjects],
        "periods": [*periods],
        "call_seconds": call_seconds,
    }
    statement = STATEMENTS["budget_views"]
    rows = await connection.execute(statement, values)
    known = await versions_of(connection, [logged(*key) for key in keys])

    return [_view(known.get(logged(*row[:3]), 0), *row) for row in rows]


def logged(scope: Scope, name: str, period: Period) -> str:
    """The subject of a budget in the audit log."""
    subject = f"budget:{scope}:{name}"

    return subject if period == "day" else f"{subject}:{period}"


def _view(
    version: int,
    scope: Scope,
    subject: str,
    period: Period,
    tokens: int | None,
    usd: Decimal | None,
    *counted: Any,
) -> BudgetView:
    used_tokens, used_usd, accounts, alerted, *aside = counted
    under_way, unsettled = Aside(*aside[:3]), Aside(*aside[3:])

    return BudgetView(
        scope,
        subject,
        period,
        tokens,
        usd,
        used_tokens,
        used_usd,
        accounts,
        under_way,
        unsettled,
        version,
        alerted,
    )
