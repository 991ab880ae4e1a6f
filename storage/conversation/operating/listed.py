"""Lists of conversations, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct

from agent.core.errors import Rejected
from agent.core.remedies import Amend
from storage.connecting.connection import Connection, Row
from storage.control.targets import RuleTarget, audience_of
from storage.conversation.operating import STATEMENTS
from storage.postgres import Database
from storage.transaction import transaction

Order = Literal["begun", "active"]
"""By their beginning, or by the last message of a person."""

STATES = ("active", "ended", "answering", "waiting")

PAGE = 50
SUMMED_PAGE = 200
"""Conversations whose messages are summed up to find those with troubles or a cost."""

WALK = 5_000
"""Conversations, or messages of a person, that a page looks at."""

WALK_TURNS = 500
"""Turns that a page looks at: each leads to the last message of its conversation."""

SUMMED = 2_000
"""Messages of one conversation that are summed up, the newest ones."""

LAST = UUID(int=2**128 - 1)
FAR = datetime(9999, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Filter(Struct, frozen=True):
    """What a conversation must be. Nothing named: any."""

    person: str = ""
    """An account as `channel:id`, or the id of a person."""
    channel: str = ""
    state: str = ""
    troubled: bool = False
    """Something in it is no answer, did not arrive or was set aside."""
    cost: Decimal | None = None
    """At least this many US dollars."""

    @property
    def sums(self) -> bool:
        """Whether messages must be read to know."""
        return self.troubled or self.cost is not None


class Listed(Struct, frozen=True):
    """A conversation in a list. What is counted is of its last `SUMMED` messages."""

    id: UUID
    channel: str
    chat: str
    thread: str
    title: str | None
    """As a person named it. None: it has no name, or it may not be read."""
    started_at: datetime
    last_activity: datetime
    is_active: bool
    is_answering: bool
    is_waiting: bool
    person: UUID | None
    """Who began it."""
    username: str | None
    messages: int
    answers: int
    troubles: int
    cost: Decimal | None
    """None: no cost is known."""
    unpriced: int
    is_partial: bool
    """It has more messages than were counted."""


class ListPage(Struct, frozen=True):
    """Conversations, and from where the next page goes on."""

    rows: Sequence[Listed]
    looked: int
    """How many were looked at to find these."""
    next: str
    """Empty: there are no more."""


async def list_conversations(
    database: Database,
    wanted: Filter,
    *,
    order: Order = "begun",
    before: str = "",
    texts: bool = False,
) -> ListPage:
    """A page, the newest first. With a person, always by their beginning.

    `texts`: with the names that people gave. Raises Rejected for an unknown person.
    """
    at, last = _cursor(before)
    async with transaction(database) as connection:
        target = RuleTarget(person=wanted.person or None)
        person = (await audience_of(connection, target)).person
        walk = _walk(person, order, wanted)
        page = SUMMED_PAGE if wanted.sums else PAGE
        own = _own(walk, wanted, person, at)
        values = {
            "channel": wanted.channel or None,
            "state": wanted.state or None,
            "before": last,
            "page": page,
        }
        found = await connection.execute(_WALKS[walk], values | own)
        named = found.one()
        rows = await _listed(connection, named.ids, wanted, texts=texts)

    return ListPage(rows, len(named.ids), _next(named, page, own["walk"]))


_WALKS = {
    "conversations_of_person": STATEMENTS["conversations_of_person"],
    "lately_active": STATEMENTS["lately_active"],
    "newest_conversations": STATEMENTS["newest_conversations"],
}


def _walk(
    person: UUID | None,
    order: Order,
    wanted: Filter,
) -> str:
    if wanted.state and wanted.state not in STATES:
        raise Rejected(f"A state is one of {', '.join(STATES)}.")
    if person is not None:
        return "conversations_of_person"

    return "lately_active" if order == "active" else "newest_conversations"


def _own(
    walk: str,
    wanted: Filter,
    person: UUID | None,
    at: datetime,
) -> dict[str, Any]:
    """What each walk takes besides what all take."""
    if walk == "conversations_of_person":
        return {"person": person, "walk": WALK}
    if walk == "lately_active":
        return {"at": at, "walk": WALK_TURNS}

    is_filtered = wanted.channel or wanted.state
    plain = SUMMED_PAGE if wanted.sums else PAGE

    return {"walk": WALK if is_filtered else plain}


async def _listed(
    connection: Connection,
    ids: Sequence[UUID],
    wanted: Filter,
    *,
    texts: bool,
) -> Sequence[Listed]:
    if not ids:
        return ()

    values: Mapping[str, Any] = {
        "ids": list(ids),
        "texts": texts,
        "summed": SUMMED,
        "troubled": wanted.troubled,
        "cost": wanted.cost,
    }
    rows = await connection.execute(STATEMENTS["listed_conversations"], values)

    return [Listed(*row) for row in rows]


def _cursor(before: str) -> tuple[datetime, UUID]:
    """From where a page goes on. Raises Rejected for what no page gave."""
    if not before:
        return FAR, LAST

    micros, _, last = before.rpartition(".")
    try:
        return from_micros(micros or "0"), UUID(last)
    except (ValueError, OverflowError):
        raise Rejected(
            "This page does not exist.", Amend("omit", ("before",))
        ) from None


def _next(
    named: Row,
    page: int,
    walk: int,
) -> str:
    """The last one that fits, if the page is full; else the end of the walk, if it had to stop."""
    if len(named.ids) == page:
        return _shown(named.fit_at, named.fit)
    if named.looked == walk:
        return _shown(named.end_at, named.end)

    return ""


def _shown(
    at: datetime | None,
    last: UUID,
) -> str:
    if at is None:
        return str(last)

    return f"{micros_of(at)}.{last}"


def micros_of(at: datetime) -> int:
    """Since 1970, for the address of a page. Exact: a float of seconds would round."""
    return (at - EPOCH) // timedelta(microseconds=1)


def from_micros(typed: str) -> datetime:
    """The moment again. Raises ValueError or OverflowError for what is none."""
    return EPOCH + timedelta(microseconds=int(typed))
