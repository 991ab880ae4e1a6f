"""People as operators look at them: lists a page at a time, accounts and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec import Struct

from agent.core.errors import Rejected
from agent.core.text import is_text
from storage.control.targets import RuleTarget, audience_of
from storage.people import STATEMENTS
from storage.postgres import Database
from storage.transaction import transaction

PAGE = 50
WALK = 20_000
"""Accounts that a page looks at."""

LAST = UUID(int=2**128 - 1)


class ListedPerson(Struct, frozen=True):
    """A person in a list."""

    id: UUID
    since: datetime
    renamed: datetime
    """When a name of theirs was last written down."""
    accounts: Sequence[str]
    """As `channel:id`."""
    names: Sequence[str] | None
    consent: bool
    """To training, on all accounts."""
    is_limited: bool
    """They have a rate limit of their own."""


class PeoplePage(Struct, frozen=True):
    """People, and from where the next page goes on."""

    rows: Sequence[ListedPerson]
    next: UUID | None
    """None: there are no more."""


class PersonAccount(Struct, frozen=True):
    """One account of a person."""

    id: UUID
    channel: str
    account: str
    """The platform's id of it."""
    username: str | None
    model: str | None
    """As they chose it."""
    since: datetime
    consent: bool


class PersonBudget(Struct, frozen=True):
    """What binds a person in a day or month, and what they used of it."""

    period: str
    is_own: bool
    """Else it is the one for everybody."""
    tokens: int | None
    usd: Decimal | None
    """None: no bound."""
    used_tokens: int
    """With the worst case of calls that are not settled."""
    used_usd: Decimal


async def find_person(
    database: Database,
    named: str,
) -> UUID | None:
    """By an account as `channel:id`, or an id. None: there is nobody."""
    try:
        async with transaction(database) as connection:
            return (await audience_of(connection, RuleTarget(person=named))).person
    except Rejected:
        return None


async def list_people(
    database: Database, *, words: str = "", before: UUID | None = None
) -> PeoplePage:
    """A page, the newest first; with words, those who have them in a name or an account."""
    if not is_text(words):
        return PeoplePage((), None)

    page = PAGE
    values: dict[str, Any] = {
        "words": words or None,
        "before": before or LAST,
        "walk": WALK,
        "page": page,
    }
    async with transaction(database) as connection:
        walk = STATEMENTS["newest_accounts"]
        named = (await connection.execute(walk, values)).one()
        people = {"people": list(named.people)}
        rows = await connection.execute(STATEMENTS["listed_people"], people)
        found = [ListedPerson(*row) for row in rows]

    if len(named.people) == page:
        return PeoplePage(found, named.fit)

    return PeoplePage(found, named.end if named.looked == WALK else None)


async def accounts_of(
    database: Database,
    person: UUID,
) -> Sequence[PersonAccount]:
    """Empty: there is no such person."""
    async with transaction(database) as connection:
        statement = STATEMENTS["accounts_of_person"]
        rows = await connection.execute(statement, {"person": person})

        return [PersonAccount(*row) for row in rows]


async def budgets_of(
    database: Database,
    person: UUID,
) -> Sequence[PersonBudget]:
    """Those that bind this person."""
    async with transaction(database) as connection:
        statement = STATEMENTS["budgets_of_person"]
        rows = await connection.execute(statement, {"person": str(person)})

        return [PersonBudget(*row) for row in rows]
